package org.portal.stories

import java.nio.file.Files
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.parallel.ResourceLock
import org.portal.Draft
import org.portal.LogEvent
import org.portal.LogLine
import org.portal.LogSink
import org.portal.PortalException
import org.portal.Reason
import org.portal.SessionState
import org.portal.Unsent
import org.portal.logTo
import org.portal.testing.LOG
import org.portal.testing.TestPhone
import org.portal.testing.TestPractice
import org.portal.testing.TestPractice.Companion.JORDAN
import org.portal.testing.TestPractice.Companion.JORDANS_PASSWORD
import org.portal.testing.failsWith
import org.portal.testing.story

/** Signing up, in and out. */
class SigningUpTest {
    private fun state(phone: TestPhone): SessionState = phone.portal.account().session().state

    @Test
    fun register() = story {
        val phone = newPhone()
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        phone.portal.account().register(TestPhone.registration(practice))
        assertEquals(SessionState.ACTIVE, state(phone))
        assertEquals(null, phone.portal.account().session().reason)
    }

    @Test
    fun registerWithAWrongBirthDate() = story {
        val phone = newPhone()
        val right = TestPhone.registration(practice)
        failsWith<PortalException.Refused>(Reason.RegistrationRefused) {
            phone.portal.account().register(right.copy(dateOfBirth = "1990-02-27"))
        }
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        phone.portal.account().register(right)
        assertEquals(SessionState.ACTIVE, state(phone))
    }

    @Test
    fun registerWithABadPassword() = story {
        val phone = newPhone()
        val right = TestPhone.registration(practice)
        failsWith<PortalException.Refused>(Reason.PasswordTooShort) {
            phone.portal.account().register(right.copy(password = "short"))
        }
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        phone.portal.account().register(right)
        assertEquals(SessionState.ACTIVE, state(phone))
    }

    @Test
    fun signIn() = story {
        val phone = newPhone()
        val url = phone.portal.account().signInBegin()
        assertTrue(phone.portal.account().session().signInPending)
        phone.portal.account().signInFinish(practice.browse(url, JORDAN, JORDANS_PASSWORD))
        assertEquals(SessionState.ACTIVE, state(phone))
        assertFalse(phone.portal.account().session().signInPending)
    }

    @Test
    fun signInWithAStrayRedirect() = story {
        val phone = newPhone()
        val other = phone.portal.account().signInBegin()
        val stray = practice.browse(other, JORDAN, JORDANS_PASSWORD)
        val url = phone.portal.account().signInBegin()
        failsWith<PortalException.Refused>(Reason.StateMismatch) { phone.portal.account().signInFinish(stray) }
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        assertTrue(phone.portal.account().session().signInPending)
        phone.portal.account().signInFinish(practice.browse(url, JORDAN, JORDANS_PASSWORD))
        assertEquals(SessionState.ACTIVE, state(phone))
    }

    @Test
    fun signInDenied() = story {
        val phone = newPhone()
        val denied = practice.browseDenied(phone.portal.account().signInBegin())
        failsWith<PortalException.Refused>(Reason.SignInDenied) { phone.portal.account().signInFinish(denied) }
        assertFalse(phone.portal.account().session().signInPending)
        failsWith<PortalException.Refused>(Reason.NoPendingSignIn) { phone.portal.account().signInFinish(denied) }
        assertEquals(SessionState.SIGNED_OUT, state(phone))
    }

    @Test
    fun signOut() = story {
        val phone = phone()
        assertEquals(1, phone.people().size)
        assertTrue(Files.list(phone.people().single()).use { it.count() } > 0)
        phone.portal.account().signOut(Unsent.KEEP)
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        failsWith<PortalException.SignedOut>(Reason.NotSignedIn) { phone.portal.home().view() }
        failsWith<PortalException.SignedOut>(Reason.NotSignedIn) { phone.threads() }
        failsWith<PortalException.SignedOut>(Reason.NotSignedIn) { phone.portal.outbox().entries() }
        assertEquals(emptyList<Any>(), phone.people())
        assertEquals(listOf("portal-install"), phone.vault.aliases())
    }

    @Test
    fun signOutWithUnsentWork() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.offline()
        phone.portal.messages().send(thread, "Not sent yet")
        failsWith<PortalException.Refused>(Reason.UnsentWork) { phone.portal.account().signOut(Unsent.KEEP) }
        assertEquals(SessionState.ACTIVE, state(phone))
        assertEquals("Not sent yet", phone.portal.outbox().entries().single().text)
        phone.portal.account().signOut(Unsent.DISCARD)
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        assertEquals(emptyList<Any>(), phone.people())
    }

    @Test
    fun signOutOffline() = story {
        val phone = newPhone().apply { signIn(JORDAN, JORDANS_PASSWORD) }
        practice.stop()
        withTimeout(5_000) { phone.portal.account().signOut(Unsent.KEEP) }
        assertEquals(SessionState.SIGNED_OUT, state(phone))
        assertEquals(emptyList<Any>(), phone.people())
        practice.startAgain()
        phone.signIn(JORDAN, JORDANS_PASSWORD)
        assertEquals(SessionState.ACTIVE, state(phone))
        assertTrue(phone.threads().isNotEmpty())
    }

    @Test
    fun twoPeopleOnOnePhone() = story {
        val phone = phone()
        val first = phone.threads().map { it.id }.toSet()
        val texts = phone.shows().values.flatten().map { it.text }.toSet()
        val name = phone.portal.home().view().me.name
        phone.portal.messages().saveDraft(Draft(null, phone.openThread(), null, "", "For me alone"))
        phone.portal.account().signOut(Unsent.DISCARD)

        phone.signIn(JORDAN, JORDANS_PASSWORD)
        val seen = phone.shows()
        assertTrue(seen.isNotEmpty())
        assertTrue(seen.keys.none { it.id in first })
        assertTrue(seen.values.flatten().none { it.text in texts })
        assertTrue(name != phone.portal.home().view().me.name)
        assertEquals(emptyList<Any>(), phone.portal.messages().drafts())
        for (id in first) {
            failsWith<PortalException.NotFound>(Reason.ThreadUnknown) { phone.thread(id) }
        }
    }

    @Test
    fun accessRevoked() = story {
        val phone = phone()
        practice.staff("POST", "clients/${practice.client()}/revoke")
        failsWith<PortalException.SignedOut>(Reason.AccessRevoked) { phone.portal.sync(null) }
        val session = phone.portal.account().session()
        assertEquals(SessionState.SIGNED_OUT to Reason.AccessRevoked, session.state to session.reason)
        failsWith<PortalException.SignedOut>(Reason.AccessRevoked) { phone.portal.home().view() }
        assertEquals(emptyList<Any>(), phone.people())
    }

    @Test
    @ResourceLock(LOG)
    fun tokenRefusedOnce() = story {
        val phone = phone()
        val renewed = AtomicInteger()
        logTo(object : LogSink {
            override fun log(line: LogLine) {
                if (line.event == LogEvent.SESSION_REFRESHED) renewed.incrementAndGet()
            }
        })
        try {
            practice.reply(phone.openThread(), "One more")
            refuseOneToken(practice)
            val report = phone.portal.sync(null)
            assertTrue(report.complete)
            assertEquals(1, renewed.get())
            assertEquals("One more", phone.threads().first().lastText)
            assertEquals(SessionState.ACTIVE, state(phone))
        } finally {
            logTo(null)
        }
    }

    /** The next request with a token gets a 401, and the ones after it none. Chance decides, so a fitting seed is sought. */
    private fun refuseOneToken(practice: TestPractice) {
        fun faults(seed: Int) = practice.faults("seed" to seed, "error_401" to 0.3)
        // Without any token the practice answers 401 too, but for another reason.
        fun refused(): Boolean = "token_expired" in practice.get("${practice.baseUrl}/v1/sync").body()
        val seed = (1..2000).first { seed ->
            faults(seed)
            refused() && (1..8).none { refused() }
        }
        faults(seed)
    }
}
