package org.portal

import java.nio.file.Files
import java.nio.file.Path
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.time.format.DateTimeFormatter
import java.time.format.FormatStyle
import java.util.Locale
import java.util.concurrent.ConcurrentLinkedQueue
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.parallel.ResourceLock
import org.portal.testing.LOG
import org.portal.testing.TestPhone
import org.portal.testing.TestPractice
import org.portal.testing.failsWith
import org.portal.testing.story

// The code of docs/use-from-kotlin.md: each of its blocks is found here, word for word, and runs.

/** Keys in the device's key store. On a phone: `KeyStore.getInstance("AndroidKeyStore")`. */
class DeviceVault(
    private val store: KeyStore,
    private val generate: (alias: String, policy: KeyPolicy) -> Unit,
    private val askThePerson: (alias: String, cipher: Cipher) -> Cipher?,
    private val password: CharArray? = null, // a phone's key store has none
) : KeyVault {
    override fun create(alias: String, policy: KeyPolicy) {
        if (!store.containsAlias(alias)) generate(alias, policy)
    }

    override fun wrap(alias: String, plaintext: ByteArray): ByteArray = guarded {
        val cipher = Cipher.getInstance("AES/GCM/NoPadding").apply { init(Cipher.ENCRYPT_MODE, key(alias)) }
        allowed(alias, cipher).run { iv + doFinal(plaintext) }
    }

    override fun unwrap(alias: String, wrapped: ByteArray): ByteArray = guarded {
        val cipher = Cipher.getInstance("AES/GCM/NoPadding")
        cipher.init(Cipher.DECRYPT_MODE, key(alias), GCMParameterSpec(128, wrapped, 0, 12))
        allowed(alias, cipher).doFinal(wrapped, 12, wrapped.size - 12)
    }

    override fun delete(alias: String) = guarded { store.deleteEntry(alias) }

    private fun key(alias: String): SecretKey =
        store.getKey(alias, password) as SecretKey? ?: throw VaultException.KeyGone(1)

    private fun allowed(alias: String, cipher: Cipher): Cipher =
        askThePerson(alias, cipher) ?: throw VaultException.Refused(2)

    private fun <T> guarded(work: () -> T): T = try {
        work()
    } catch (error: GeneralSecurityException) {
        // Android's answer when a new fingerprint made the key void; only Android has this class.
        val void = error.javaClass.simpleName == "KeyPermanentlyInvalidatedException"
        throw if (void) VaultException.KeyGone(3) else VaultException.Failed(4)
    }
}

/** Everything that a list of conversations draws. */
data class ConversationsScreen(val page: ThreadPage? = null, val problem: String? = null)

class ConversationsModel(private val portal: Portal, private val scope: CoroutineScope) {
    private val messages = portal.messages()
    private val state = MutableStateFlow(ConversationsScreen())
    val screen: StateFlow<ConversationsScreen> = state.asStateFlow()

    init {
        scope.launch {
            portal.changesFlow().collect { change ->
                when (change) {
                    is Change.Messages, Change.Session, Change.Everything -> read()
                    else -> {}
                }
            }
        }
    }

    private suspend fun read() {
        try {
            val page = messages.threads(ThreadFilter.ALL, offset = 0u, limit = 50u)
            state.update { it.copy(page = page, problem = null) }
        } catch (error: PortalException) {
            state.update { it.copy(page = null, problem = words(error)) }
        }
    }

    fun refresh() = scope.launch {
        try {
            portal.sync(deadlineMs = 20_000u)
        } catch (error: PortalException) {
            state.update { it.copy(problem = words(error)) }
        }
    }
}

fun words(error: PortalException): String = when (error) {
    is PortalException.Offline -> when (error.reason) {
        Reason.NoConnection -> "There is no network. Everything that you write is kept."
        Reason.Busy -> "The practice is busy. The app tries again by itself."
        else -> "The practice cannot be reached just now."
    }
    is PortalException.SignedOut -> "Please sign in."
    is PortalException.Locked -> "Please unlock the app."
    is PortalException.Refused -> when (error.reason) {
        Reason.BodyEmpty -> "Please write something first."
        Reason.ThreadClosed -> "The practice closed this conversation."
        Reason.UnsentWork -> "Something is not sent yet."
        Reason.UpdateRequired -> "Please update the app."
        // The code has a line in the app's resources, or the practice is newer than the app.
        else -> "The practice could not do this (${error.reason.code})."
    }
    is PortalException.Conflict, is PortalException.NotFound -> "This has changed meanwhile."
    is PortalException.Storage, is PortalException.Bug -> "Something went wrong (${error.reason.code})."
}

class SystemLog(private val write: (String) -> Unit) : LogSink {
    override fun log(line: LogLine) = write("portal ${line.event} ${line.code} ${line.value}")
}

class UseIt {
    private fun memoryVault(): DeviceVault {
        val store = KeyStore.getInstance("JCEKS").apply { load(null, null) }
        return DeviceVault(
            store,
            generate = { alias, _ ->
                val key = KeyGenerator.getInstance("AES").apply { init(256) }.generateKey()
                store.setKeyEntry(alias, key, CharArray(0), null)
            },
            askThePerson = { _, cipher -> cipher },
            password = CharArray(0),
        )
    }

    private suspend fun openPortal(practice: TestPractice, filesDir: Path, vault: KeyVault): Portal {
        val (practiceUrl, roots, pins) = Triple(practice.baseUrl, practice.authority, practice.pins)
        val config = PortalConfig(
            practiceUrl = practiceUrl,
            clientId = "org.portal.phone",
            redirectUri = "org.portal.phone:/signed-in",
            rootsPem = roots,
            pins = listOf(PinSet(spkiSha256 = pins)),
            dataDir = filesDir.resolve("portal").toString(),
            allowLoopbackHttp = false,
        )
        val portal = Portal.open(config, vault)
        return portal
    }

    @Test
    fun aDay() = story {
        val directory = Files.createTempDirectory("portal-kotlin")
        keep(AutoCloseable { directory.toFile().deleteRecursively() })
        val portal = keep(openPortal(practice, directory, memoryVault()))

        val browser = { url: String -> practice.browse(url, TestPractice.JORDAN, TestPractice.JORDANS_PASSWORD) }
        when (portal.account().session().state) {
            SessionState.SIGNED_OUT -> signIn(portal, browser)
            SessionState.LOCKED -> portal.account().unlock()
            SessionState.ACTIVE -> {}
            SessionState.EXPIRED -> {} // open, but nothing is sent or fetched before a new sign-in
        }
        portal.sync(null)

        val read = readNewest(portal)
        assertTrue(read.isNotEmpty())
        sendOne(portal)

        val model = Job()
        val screens = ConversationsModel(portal, CoroutineScope(Dispatchers.Default + model))
        withTimeout(20_000) { screens.screen.first { it.page != null } }
        screens.refresh().join()
        lockAndUnlock(portal)
        withTimeout(20_000) { screens.screen.first { it.page != null } }
        model.cancel()

        portal.account().signOut(Unsent.DISCARD)
    }

    private suspend fun signIn(portal: Portal, browser: (String) -> String) {
        val account = portal.account()
        val url = account.signInBegin()
        // A Custom Tab shows the address; the app is called back at `redirectUri` with the answer.
        val answer = browser(url)
        account.signInFinish(answer)
    }

    private suspend fun readNewest(portal: Portal): List<String> {
        val messages = portal.messages()
        val page = messages.threads(ThreadFilter.ALL, offset = 0u, limit = 50u)
        val newest = page.threads.first()

        val view = messages.thread(newest.id, before = null, limit = 50u)
        // The page before it, while there is one: pass `earlier` on.
        val before = view.earlier?.let { messages.thread(newest.id, before = it, limit = 50u) }

        val clock = DateTimeFormatter.ofLocalizedDateTime(FormatStyle.MEDIUM, FormatStyle.LONG).withLocale(Locale.US)
        val lines = (before?.messages.orEmpty() + view.messages).map { message ->
            "${message.author.name}, ${clock.format(message.at.toZonedDateTime())}: ${message.text}"
        }
        view.messages.lastOrNull()?.n?.let { messages.markRead(newest.id, upto = it) }
        return lines
    }

    private suspend fun sendOne(portal: Portal) {
        val messages = portal.messages()
        val thread = messages.threads(ThreadFilter.ALL, 0u, 50u).threads.first { !it.closed }.id
        val id = messages.send(thread, "See you on Tuesday.")
        // It is on the device now, whatever happens: the screen shows it, and the core sends it.
        val shown = messages.thread(thread, null, 50u).messages.first { it.id == id }
        val note = when (val state = shown.state) {
            MessageState.Waiting, MessageState.Sending -> "Not sent yet"
            MessageState.Sent -> "Sent"
            is MessageState.Refused -> "Not accepted: ${state.reason.code}"
            is MessageState.Received -> ""
        }
        assertTrue(note == "Not sent yet" || note == "Sent")
    }

    private suspend fun lockAndUnlock(portal: Portal) {
        val account = portal.account()
        account.touch() // at every touch of the screen
        account.enteredBackground() // onStop
        account.enteredForeground() // onStart
        account.lock() // "Lock now"
        try {
            account.unlock()
        } catch (error: PortalException.Locked) {
            if (error.reason == Reason.VaultRefused) return // the person cancelled: offer it again
            throw error
        }
    }

    @Test
    @ResourceLock(LOG)
    fun errorsAndTheLog() = story {
        val lines = ConcurrentLinkedQueue<String>()
        logTo(SystemLog(lines::add))
        val phone = keep(TestPhone.new(practice))
        val signedOut = failsWith<PortalException.SignedOut>(Reason.NotSignedIn) { phone.threads() }
        assertEquals("Please sign in.", words(signedOut))
        phone.register()
        val thread = phone.openThread()
        val empty = failsWith<PortalException.Refused>(Reason.BodyEmpty) { phone.portal.messages().send(thread, "") }
        assertEquals("Please write something first.", words(empty))
        practice.stop()
        val offline = runCatching { phone.portal.sync(null) }.exceptionOrNull()
        assertNotNull(words(offline as PortalException.Offline))
        logTo(null)
        assertTrue(lines.any { it.startsWith("portal SIGNED_IN") })
    }
}
