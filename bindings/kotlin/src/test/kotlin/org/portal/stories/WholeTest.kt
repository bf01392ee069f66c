package org.portal.stories

import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.portal.Change
import org.portal.NewThread
import org.portal.PinSet
import org.portal.Portal
import org.portal.PortalConfig
import org.portal.PortalException
import org.portal.Reason
import org.portal.Recipient
import org.portal.changesFlow
import org.portal.testing.TestPractice
import org.portal.testing.failsWith
import org.portal.testing.story

/** The portal as a whole. */
class WholeTest {
    @Test
    fun changes() = story {
        val phone = phone()
        val thread = phone.openThread()
        coroutineScope {
            val told = async(start = CoroutineStart.UNDISPATCHED) { phone.portal.told(Change.Messages(thread)) }
            practice.reply(thread, "Something new")
            phone.portal.sync(null)
            told.await()

            val locked = async(start = CoroutineStart.UNDISPATCHED) { phone.portal.told(Change.Session) }
            phone.portal.account().lock()
            locked.await()
        }
    }

    /** Waits for that change. Others may come before it: the core fetches in the background too. */
    private suspend fun Portal.told(change: Change) = withTimeout(60_000) { changesFlow().first { it == change } }

    @Test
    fun changesAfterALag() = story {
        val phone = phone()
        practice.offline()
        phone.portal.changes().use { slow ->
            // More different changes than wait for anybody.
            repeat(100) { n ->
                phone.portal.messages().start(NewThread(Recipient.Route("biller"), "Question $n", "Why?", null))
            }
            assertEquals(Change.Everything, withTimeout(10_000) { slow.next() })
        }
    }

    @Test
    fun changesStop() = story {
        val phone = newPhone()
        val listener = phone.portal.changes()
        coroutineScope {
            val waiting = async(start = CoroutineStart.UNDISPATCHED) { withTimeout(60_000) { listener.next() } }
            listener.stop()
            assertNull(waiting.await())
        }
        assertNull(withTimeout(10_000) { listener.next() })
        // Another listener goes on.
        phone.portal.changes().use { other ->
            phone.portal.account().signInBegin()
            assertEquals(Change.Session, withTimeout(10_000) { other.next() })
        }
        listener.close()
    }

    @Test
    fun twoPortalsInOneProcess() = story {
        val one = phone()
        val two = newPhone().apply { signIn(TestPractice.JORDAN, TestPractice.JORDANS_PASSWORD) }
        assertTrue(one.portal.home().view().me.name != two.portal.home().view().me.name)
        val (ones, twos) = one.threads().map { it.id } to two.threads().map { it.id }
        assertTrue(ones.isNotEmpty() && twos.isNotEmpty())
        assertEquals(emptySet<String>(), ones.intersect(twos.toSet()))
        val thread = two.openThread()
        two.portal.messages().send(thread, "Zanzibar rendezvous")
        two.settle()
        one.settle()
        assertEquals(emptyList<Any>(), one.portal.messages().search("Zanzibar rendezvous", 10u))
        failsWith<PortalException.NotFound>(Reason.ThreadUnknown) { one.thread(thread) }
        one.portal.account().lock()
        two.shown(thread, "Zanzibar rendezvous")
    }

    @Test
    fun badConfiguration() = story {
        val phone = newPhone()
        suspend fun refused(field: String, change: (PortalConfig) -> PortalConfig) {
            val error = failsWith<PortalException.Refused>(Reason.BadConfiguration) {
                Portal.open(change(phone.config), phone.vault)
            }
            assertEquals(field, error.field)
        }
        val urls = listOf("", "example.org", "http://example.org", "https://example.org/a?b", "https://a:b@example.org")
        for (url in urls) {
            refused("practice_url") { it.copy(practiceUrl = url) }
        }
        refused("client_id") { it.copy(clientId = "") }
        val uris = listOf("", "signed-in", "portal:/signed-in", "http://example.org/a", "org.portal.phone:/a?b=c")
        for (uri in uris) {
            refused("redirect_uri") { it.copy(redirectUri = uri) }
        }
        for (roots in listOf("", "no certificate")) {
            refused("roots_pem") { it.copy(rootsPem = roots) }
        }
        val one = practice.pins[0]
        for (pins in listOf(emptyList(), listOf("short"), listOf(one), listOf(one, one))) {
            refused("pins") { it.copy(pins = listOf(PinSet(pins))) }
        }
        refused("data_dir") { it.copy(dataDir = "") }
    }
}
