package org.portal

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.Executors
import kotlin.concurrent.thread
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Order
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.parallel.ResourceLock
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource
import org.portal.testing.ChildJvm
import org.portal.testing.FileVault
import org.portal.testing.LOG
import org.portal.testing.TestPhone
import org.portal.testing.TestPractice.Companion.JORDAN
import org.portal.testing.TestPractice.Companion.JORDANS_PASSWORD
import org.portal.testing.eventually
import org.portal.testing.failsWith
import org.portal.testing.story

/** What the boundary between Kotlin and Rust promises. */
@Order(2)
class FfiRulesTest {
    @Test
    fun aVerbWhoseCoroutineIsCancelledRunsToItsEnd() = story {
        val phone = newPhone()
        coroutineScope {
            val registering = launch(start = CoroutineStart.UNDISPATCHED) {
                phone.portal.account().register(TestPhone.registration(practice))
            }
            registering.cancelAndJoin()
            assertTrue(registering.isCancelled)
            assertEquals(SessionState.SIGNED_OUT, phone.portal.account().session().state)
        }
        eventually("it registered") { phone.portal.account().session().state == SessionState.ACTIVE }
        phone.settle()
        assertTrue(phone.threads().isNotEmpty())
    }

    @Test
    fun aVerbInvolvesTheCallersThreadInNothing() = story(messages = 3000) {
        val phone = phone()
        phone.leave()
        ChildJvm("org.portal.testing.MeasuredKt", listOf("caller") + phone.arguments).use { it.rest().forEach(::println) }
    }

    /** Moments on the caller's thread, on the core's and on the store's, each with the verb that passes it. */
    @ParameterizedTest
    @CsvSource(
        "send.begun, send", "send.drafted, send", "outbox.kept, send", "write.kept, send", "start.begun, start",
        "draft.begun, draft", "draft.kept, draft", "pull.asked, sync", "sync.ended, sync",
        "unlock.keyed, unlock", "suspend.closed, suspend", "resume.opened, resume", "lock.left, lock",
    )
    fun aPanicIsAnErrorWithoutItsTextAndThePortalGoesOn(moment: String, verb: String) = story(messages = 10) {
        val panics = Path.of(System.getProperty("portal.panics"))
        assertTrue(Files.exists(panics.resolve("libportal.so")), "bindings/build --tests makes the library that panics")
        val phone = phone()
        phone.leave()
        val child = ChildJvm(
            "org.portal.testing.PanickingKt", phone.arguments,
            library = panics.toString(), environment = mapOf("PORTAL_PANIC_AT" to moment),
        )
        child.use {
            val said = child.rest()
            val answers = said.filter { it.startsWith("verb ") }.map { it.split(' ') }
                .associate { (_, verb, answer) -> verb to answer }
            val seen = said.filterNot { it.startsWith("text ") }.joinToString("\n")
            assertEquals("Bug:panicked", answers[verb], seen)
            // Whatever else passes that moment fails in the same way, and nothing else fails.
            val expected = setOf("done", "Bug:panicked") +
                if (verb == "unlock") setOf("Locked:locked_now", "Refused:malformed") else emptySet()
            for ((other, answer) in answers) assertTrue(answer in expected, "$other: $seen")
            if (verb != "unlock") assertEquals("done", answers["read"], seen)
            assertTrue("afterwards the card shows a number" in said, seen)
            assertTrue(said.any { Regex("log PANICKED provoke.rs \\d+").matches(it) }, seen)
            assertEquals("", child.errors())
            val everything = said.joinToString("\n")
            for (personal in listOf("canary", "Renée", "Núñez", "1990")) {
                assertFalse(personal in everything, "$personal is told")
            }
        }
        // Nobody was harmed: without panics everything is there.
        phone.reopen()
        phone.portal.account().unlock()
        phone.settle()
        // It was durable before the panic, whatever the verb said.
        if (moment == "write.kept") assertEquals(1, phone.portal.messages().search("Then the core panicked", 10u).size)
    }

    @Test
    @Order(1)
    fun manyOpeningsAndClosingsLeaveNothingBehind() = story {
        val phone = phone()
        phone.leave()
        // The whole heap from the start: what grows then is memory outside of it.
        val heap = listOf("-Xms96m", "-Xmx96m", "-XX:+AlwaysPreTouch")
        ChildJvm("org.portal.testing.MeasuredKt", listOf("cycles") + phone.arguments, options = heap).use { child ->
            child.rest().forEach(::println)
        }
    }

    @Test
    fun whatIsNotClosedIsCollectedOnAnyThread() = story {
        val phone = phone()
        phone.leave()
        ChildJvm("org.portal.testing.MeasuredKt", listOf("garbage") + phone.arguments).use { it.rest() }
    }

    @Test
    fun objectsCloseOnAnyThreadAndTwice() = story {
        val phone = newPhone().apply { signIn(JORDAN, JORDANS_PASSWORD) }
        val portal = Portal.open(phone.config.copy(dataDir = phone.config.dataDir + "-2"), phone.vault)
        val account = portal.account()
        val listener = portal.changes()
        // No coroutine and no thread of the core: a plain thread.
        thread {
            portal.close()
            portal.close()
            listener.close()
        }.join()
        assertThrows(IllegalStateException::class.java) { portal.account() }
        assertThrows(IllegalStateException::class.java) { listener.stop() }
        // What was taken out of it stays good until it is closed itself.
        assertEquals(SessionState.SIGNED_OUT, account.session().state)
        account.close()
        assertTrue(phone.threads().isNotEmpty())
    }

    @Test
    fun aVerbUnderWaySurvivesTheClosingOfItsObject() = story {
        val phone = newPhone()
        coroutineScope {
            val account = phone.portal.account()
            val registering = launch(start = CoroutineStart.UNDISPATCHED) {
                account.register(TestPhone.registration(practice))
            }
            account.close()
            phone.portal.account().use { other ->
                registering.join()
                assertEquals(SessionState.ACTIVE, other.session().state)
            }
        }
    }

    @Test
    fun aVaultThatThrowsGivesATypedError() = story {
        val config = newPhone().config
        class Broken(private val failure: Exception) : KeyVault {
            override fun create(alias: String, policy: KeyPolicy) = throw failure
            override fun wrap(alias: String, plaintext: ByteArray) = throw failure
            override fun unwrap(alias: String, wrapped: ByteArray) = throw failure
            override fun delete(alias: String) = throw failure
        }
        for ((failure, reason) in listOf(
            IllegalStateException("Renée O'Connor-Núñez") to Reason.VaultFailed,
            NullPointerException() to Reason.VaultFailed,
            VaultException.Failed(3) to Reason.VaultFailed,
            VaultException.Refused(4) to Reason.VaultRefused,
        )) {
            // Opening goes on without it: the crisis card needs no key.
            Portal.open(config, Broken(failure)).use { portal ->
                assertTrue(portal.home().crisisCard().lines.isNotEmpty())
                val error = failsWith<PortalException.Locked>(reason) { portal.account().signInBegin() }
                assertFalse("Renée" in error.stackTraceToString(), "what the vault said stays where it is")
            }
        }
    }

    @Test
    fun aVaultThatThrowsWhatNobodyCatchesGivesATypedErrorToo() = story {
        val phone = phone()
        phone.portal.account().lock()
        phone.vault.unwrapping = { throw NotImplementedError("not yet") }
        val error = runCatching { phone.portal.account().unlock() }.exceptionOrNull()
        assertTrue(error is PortalException.Locked, "$error")
        phone.vault.unwrapping = null
        phone.portal.account().unlock()
        assertTrue(phone.threads().isNotEmpty())
    }

    @Test
    @ResourceLock(LOG)
    fun aLogSinkThatThrowsHarmsNothing() = story {
        var asked = 0
        logTo(object : LogSink {
            override fun log(line: LogLine) {
                throw if (asked++ % 2 == 0) IllegalStateException("no space") else LogSinkException.Failed(1)
            }
        })
        try {
            val phone = phone()
            phone.portal.messages().send(phone.openThread(), "Is anybody logging?")
            phone.settle()
            phone.portal.account().lock()
            phone.portal.account().unlock()
            assertTrue(asked > 4)
        } finally {
            logTo(null)
        }
    }

    @Test
    @ResourceLock(LOG)
    fun theLogGetsEventsAndNoText() = story {
        val lines = ConcurrentLinkedQueue<LogLine>()
        logTo(object : LogSink {
            override fun log(line: LogLine) {
                lines.add(line)
            }
        })
        try {
            val phone = phone()
            val thread = phone.openThread()
            practice.offline()
            phone.portal.messages().send(thread, "canary in a message")
            runCatching { phone.portal.sync(null) }
            practice.online()
            phone.settle()
            phone.portal.account().lock()
            phone.portal.account().unlock()
            phone.portal.account().signOut(Unsent.DISCARD)
        } finally {
            logTo(null)
        }
        val events = lines.map { it.event }.toSet()
        val expected = setOf(
            LogEvent.SIGNED_IN, LogEvent.SYNC_STARTED, LogEvent.SYNC_ENDED, LogEvent.PAGE_PUBLISHED,
            LogEvent.REQUEST_FAILED, LogEvent.OPS_SETTLED, LogEvent.LOCKED, LogEvent.UNLOCKED, LogEvent.SIGNED_OUT,
        )
        assertTrue(events.containsAll(expected), "missing: ${expected - events}")
        // A code, or the place of a panic: nothing else can be said.
        assertTrue(lines.all { Regex("[a-z0-9_]*").matches(it.code) }, lines.joinToString())
        assertTrue(lines.none { "canary" in it.toString() })
    }

    @Test
    fun nothingOfAPersonIsPrinted() = story {
        val phone = phone()
        val messages = phone.portal.messages()
        val thread = phone.openThread()
        messages.saveDraft(Draft(null, thread, null, "", "canary in a draft"))
        practice.offline()
        messages.start(NewThread(Recipient.Route("biller"), "canary in a subject", "canary in a question", null))
        val home = phone.portal.home().view()
        val view = phone.thread(thread)
        val page = messages.threads(ThreadFilter.ALL, 0u, 100u)
        val recipients = messages.recipients()
        val shown = listOf(
            home, home.me, home.practice, home.clinician, home.banner, phone.portal.home().crisisCard(),
            page, page.threads.first(), view, view.thread, view.messages.last(), view.messages.last().at,
            messages.drafts(), messages.drafts().first().draft, messages.search("canary", 10u), messages.print(thread),
            recipients, recipients.choices.last(), phone.portal.outbox().entries(),
            NewThread(Recipient.Route("biller"), "canary in a subject", "canary in a question", null),
            TestPhone.registration(practice), phone.portal.account().session(),
        )
        val personal = listOf("canary", "Renée", "Núñez", "Amara", "Juniper", TestPhone.PASSWORD) + home.me.name +
            page.threads.map { it.subject } + view.messages.map { it.text }
        for (one in shown) {
            val printed = one.toString()
            assertTrue(personal.none { it in printed }, "${one?.javaClass?.simpleName}: $printed")
        }
    }

    @Test
    fun aFreedVaultIsFreedOnThisSideToo() = story {
        val config = newPhone().config
        val vault = FileVault(Path.of(config.dataDir).resolveSibling("keys"))
        // Whoever refuses to open keeps nothing of the vault.
        val before = FfiConverterTypeKeyVault.handleMap.size
        repeat(50) {
            failsWith<PortalException.Refused>(Reason.BadConfiguration) { Portal.open(config.copy(clientId = ""), vault) }
        }
        eventually("the handles are gone") { FfiConverterTypeKeyVault.handleMap.size <= before + 10 }
    }

    @Test
    fun aLaggingListenerGetsEverythingAndThenGoesOn() = story {
        val phone = phone()
        practice.offline()
        phone.portal.changes().use { slow ->
            repeat(70) {
                phone.portal.messages().start(NewThread(Recipient.Route("biller"), "Question", "$it", null))
            }
            assertEquals(Change.Everything, withTimeout(10_000) { slow.next() })
            phone.portal.account().lock()
            var next = withTimeout(10_000) { slow.next() }
            while (next != Change.Session) next = withTimeout(10_000) { slow.next() }
        }
    }

    @Test
    fun aVerbCanBeCalledFromOneThreadOnly() = story {
        val phone = phone()
        Executors.newSingleThreadExecutor { Thread(it, "main-as-on-a-phone") }.asCoroutineDispatcher().use { main ->
            withContext(main) {
                phone.portal.messages().send(phone.openThread(), "From the screen's thread")
                phone.settle()
                assertTrue(Thread.currentThread().name.startsWith("main-as-on-a-phone"))
            }
        }
    }
}
