package org.portal.testing

import java.nio.file.Files
import java.nio.file.Path
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.portal.MessageView
import org.portal.PinSet
import org.portal.Portal
import org.portal.PortalConfig
import org.portal.PortalException
import org.portal.Registration
import org.portal.SyncReport
import org.portal.ThreadFilter
import org.portal.ThreadSummary
import org.portal.ThreadView

/** A phone: a portal with files and keys of its own. */
class TestPhone private constructor(private val practice: TestPractice, val config: PortalConfig) : AutoCloseable {
    private val directory: Path = Path.of(config.dataDir)
    private val keys: Path = directory.resolveSibling("keys")
    val vault: FileVault = FileVault(keys)

    /** The arguments that tell another process where everything is. */
    val arguments: List<String> =
        listOf(practice.baseUrl, practice.authority) + practice.pins + listOf(config.dataDir, keys.toString())

    /** The portal, as an app has it. */
    lateinit var portal: Portal
        private set

    suspend fun register(registration: Registration = registration(practice)) {
        portal.account().register(registration)
        settle()
    }

    suspend fun signIn(login: String = TestPractice.RENEE, password: String = PASSWORD) {
        val url = portal.account().signInBegin()
        portal.account().signInFinish(practice.browse(url, login, password))
        settle()
    }

    /** Ends the portal and opens another over the same files, locked. */
    suspend fun restart() {
        leave()
        reopen()
    }

    /** Ends the portal, so that another process can have its files. */
    suspend fun leave() {
        portal.account().lock()
        portal.close()
    }

    /** Opens the portal again that ended. */
    suspend fun reopen() {
        portal = Portal.open(config, vault)
    }

    /** Syncs until nothing is left to do, whatever is still wrong with the network at first. */
    suspend fun settle(): List<SyncReport> {
        val reports = mutableListOf<SyncReport>()
        eventually("everything is sent and fetched") {
            try {
                portal.sync(null).also(reports::add).complete
            } catch (_: PortalException.Offline) {
                false
            }
        }
        return reports
    }

    suspend fun threads(filter: ThreadFilter = ThreadFilter.ALL): List<ThreadSummary> =
        portal.messages().threads(filter, 0u, 100u).threads

    /** The newest conversation that takes replies. */
    suspend fun openThread(): String = threads().first { !it.closed }.id

    suspend fun thread(id: String): ThreadView = portal.messages().thread(id, null, 100u)

    /** The message with this text in the newest page of a conversation, which shows it exactly once. */
    suspend fun shown(thread: String, text: String): MessageView {
        val found = thread(thread).messages.filter { it.text == text }
        assertEquals(1, found.size, "shown once")
        return found.single()
    }

    /** A whole conversation, read page by page, oldest first. */
    suspend fun whole(thread: String, limit: UInt = 100u): List<MessageView> {
        val pages = mutableListOf(portal.messages().thread(thread, null, limit))
        while (true) {
            val earlier = pages.first().earlier ?: break
            pages.add(0, portal.messages().thread(thread, earlier, limit))
        }
        return pages.flatMap { it.messages }
    }

    /** Everything that the phone shows of conversations, for comparing one moment with another. */
    suspend fun shows(): Map<ThreadSummary, List<MessageView>> = threads().associateWith { whole(it.id) }

    /** The folders of the people whose records are here. */
    fun people(): List<Path> {
        val folder = directory.resolve("users")
        return if (Files.isDirectory(folder)) Files.list(folder).use { it.toList() } else emptyList()
    }

    override fun close() {
        // Locked first: a sync under way would write into the folder again.
        runCatching { runBlocking { portal.account().lock() } }
        if (::portal.isInitialized) portal.close()
        directory.parent.toFile().deleteRecursively()
    }

    companion object {
        /** What the invited client chooses. */
        const val PASSWORD = "seven green umbrellas"

        /** A phone that has never been used. */
        suspend fun new(practice: TestPractice, change: (PortalConfig) -> PortalConfig = { it }): TestPhone {
            val directory = Files.createTempDirectory("portal-kotlin")
            val phone = TestPhone(practice, change(config(practice, directory.resolve("data"))))
            phone.portal = Portal.open(phone.config, phone.vault)
            return phone
        }

        /** The configuration of a phone of this practice. */
        fun config(practice: TestPractice, data: Path): PortalConfig =
            config(practice.baseUrl, practice.authority, practice.pins, data)

        /** The same from its parts, for another process. */
        fun config(url: String, authority: String, pins: List<String>, data: Path): PortalConfig = PortalConfig(
            practiceUrl = url,
            clientId = "org.portal.phone",
            redirectUri = "org.portal.phone:/signed-in",
            rootsPem = authority,
            pins = listOf(PinSet(pins)),
            dataDir = data.toString(),
            allowLoopbackHttp = false,
        )

        /** What the invited client types to register. */
        fun registration(practice: TestPractice): Registration =
            Registration(practice.invitation, "O'Connor-Núñez", "1990-02-28", PASSWORD)
    }
}
