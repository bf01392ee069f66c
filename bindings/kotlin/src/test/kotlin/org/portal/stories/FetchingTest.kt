package org.portal.stories

import java.time.Instant
import java.util.concurrent.ConcurrentLinkedQueue
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.parallel.ResourceLock
import org.portal.Draft
import org.portal.LogEvent
import org.portal.LogLine
import org.portal.LogSink
import org.portal.MessageState
import org.portal.MessageView
import org.portal.PinSet
import org.portal.PortalException
import org.portal.Reason
import org.portal.Role
import org.portal.logTo
import org.portal.testing.LOG
import org.portal.testing.TestPhone
import org.portal.testing.TestPractice
import org.portal.testing.eventually
import org.portal.testing.failsWith
import org.portal.testing.list
import org.portal.testing.story
import org.portal.testing.text

/** Fetching. */
class FetchingTest {
    @Test
    fun firstSync() = story(messages = 80) {
        val phone = phone()
        val shows = phone.shows()
        assertEquals(80, shows.values.sumOf { it.size })
        val threads = practice.staff("GET", "clients/${practice.client()}/threads").list("threads")
        assertEquals(threads.map { it.text("id") }.toSet(), shows.keys.map { it.id }.toSet())

        val home = phone.portal.home().view()
        assertEquals("Juniper Ridge Behavioral Health", home.practice?.name)
        assertTrue("Renée" in home.me.name, "the client is named")
        assertEquals(Role.CLIENT, home.me.role)
        val clients = practice.staff("GET", "clients").list("clients")
        val chart = clients.first { it.text("id") == practice.client() }
        val staff = practice.staff("GET", "staff").list("staff")
        val clinician = staff.first { it.text("id") == chart.text("clinician") }
        assertEquals(clinician.text("name"), home.clinician?.name)
        assertEquals(Role.CLINICIAN, home.clinician?.role)
        val unread = shows.values.flatten().count { it.state == MessageState.Received(read = false) }
        assertTrue(unread > 0)
        assertEquals(unread.toULong(), home.badge)
        assertNotNull(home.asOf)
    }

    @Test
    fun tenThousandMessages() = story(messages = 10_000) {
        val phone = phone()
        val messages = phone.threads().flatMap { thread -> phone.whole(thread.id) }
        assertEquals(10_000, messages.map { it.id }.toSet().size)
        assertEquals(10_000, messages.size)
        assertTrue(messages.all { it.text.isNotEmpty() })
    }

    @Test
    fun resyncAfterARestore() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.offline()
        phone.portal.messages().send(thread, "Written before the restore")
        phone.portal.messages().saveDraft(Draft(null, thread, null, "", "Still typing"))
        practice.staff("POST", "epoch", emptyMap<String, Any>())
        val before = phone.shows()
        practice.online()
        phone.settle()

        val after = phone.shows()
        assertEquals(before.keys.map { it.id to it.unread }.toSet(), after.keys.map { it.id to it.unread }.toSet())
        fun texts(shown: Map<*, List<MessageView>>) = shown.values.flatten().map { it.id to it.text }
        assertEquals(texts(before).toSet(), texts(after).toSet())
        assertEquals(texts(before).size, texts(after).size)
        assertEquals(MessageState.Sent, phone.shown(thread, "Written before the restore").state)
        assertEquals(1, practice.texts(thread).count { it == "Written before the restore" })
        assertEquals("Still typing", phone.thread(thread).draft)
    }

    @Test
    @ResourceLock(LOG)
    fun cursorExpired() = story {
        val phone = phone()
        val thread = phone.openThread()
        phone.portal.messages().saveDraft(Draft(null, thread, null, "", "Still typing"))
        val before = phone.shows()
        val events = ConcurrentLinkedQueue<LogLine>()
        logTo(object : LogSink {
            override fun log(line: LogLine) {
                events.add(line)
            }
        })
        try {
            practice.faults("cursor_410" to 1.0)
            runCatching { phone.portal.sync(null) }
            practice.online()
            val received = phone.settle().sumOf { it.received }
            assertTrue(events.any { it.event == LogEvent.RESYNC_STARTED })
            assertTrue(received >= 60u, "everything came again: $received")
        } finally {
            logTo(null)
        }
        assertEquals(before, phone.shows())
        assertEquals("Still typing", phone.thread(thread).draft)
    }

    @Test
    fun banner() = story {
        val phone = phone()
        val until = Instant.now().plusSeconds(86_400)
        val rfc3339 = until.toString().take(19) + ".000Z"
        practice.staff("PUT", "banner", mapOf("text" to "Closed on Friday.", "until" to rfc3339))
        assertTrue(phone.portal.home().view().banner?.text != "Closed on Friday.")
        phone.settle()
        val banner = phone.portal.home().view().banner
        assertEquals("Closed on Friday.", banner?.text)
        assertEquals(until.epochSecond, banner?.until?.at?.epochSecond)
    }

    @Test
    fun updateRequired() = story {
        val phone = phone()
        val before = phone.shows()
        practice.staff("PUT", "core-version", mapOf("min" to "99.0.0"))
        failsWith<PortalException.Refused>(Reason.UpdateRequired) { phone.portal.sync(null) }
        assertEquals(before, phone.shows())
        phone.restart()
        phone.portal.account().unlock()
        assertEquals(before, phone.shows())
    }

    @Test
    fun captivePortal() = story {
        val phone = phone()
        val before = phone.shows()
        practice.reply(phone.openThread(), "Not to be seen in this hotel")
        practice.faults("html" to 1.0)
        failsWith<PortalException.Offline>(Reason.BadAnswer) { phone.portal.sync(null) }
        assertEquals(before, phone.shows())
        practice.online()
        phone.settle()
        assertEquals("Not to be seen in this hotel", phone.threads().first().lastText)
    }

    @Test
    fun busyPractice() = story {
        val phone = phone()
        practice.reply(phone.openThread(), "When it is less busy")
        practice.faults("error_503" to 1.0)
        failsWith<PortalException.Offline>(Reason.Busy) { phone.portal.sync(null) }
        practice.online()
        phone.settle()
        assertEquals("When it is less busy", phone.threads().first().lastText)
    }

    @Test
    fun untrustedCertificate() = story {
        val other = keep(TestPractice(1))
        val phone = newPhone { it.copy(rootsPem = other.authority, pins = emptyList()) }
        failsWith<PortalException.Offline>(Reason.CertificateUnknownAuthority) {
            phone.portal.account().register(TestPhone.registration(practice))
        }
        // The control: with the practice's own authority it works.
        phone()
    }

    @Test
    fun wrongPin() = story {
        val pins = listOf("A".repeat(43) + "=", "B".repeat(42) + "A=")
        val phone = newPhone { it.copy(pins = listOf(PinSet(pins))) }
        failsWith<PortalException.Offline>(Reason.CertificateWrongPin) {
            phone.portal.account().register(TestPhone.registration(practice))
        }
        phone()
    }

    @Test
    fun nobodyListens() = story {
        val phone = phone()
        val before = phone.shows()
        practice.stop()
        // A connection that was open is lost first.
        eventually("nobody listens") {
            val error = runCatching { phone.portal.sync(null) }.exceptionOrNull()
            error is PortalException.Offline && error.reason == Reason.NoConnection
        }
        assertEquals(before, phone.shows())
        val fresh = newPhone()
        failsWith<PortalException.Offline>(Reason.NoConnection) { fresh.portal.account().signInBegin() }
    }
}
