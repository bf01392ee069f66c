package org.portal.stories

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.portal.Draft
import org.portal.MessageState
import org.portal.NewThread
import org.portal.OutboxState
import org.portal.PortalException
import org.portal.Reason
import org.portal.Recipient
import org.portal.testing.ChildJvm
import org.portal.testing.Story
import org.portal.testing.TestPhone
import org.portal.testing.eventually
import org.portal.testing.failsWith
import org.portal.testing.story

/** Writing. */
class WritingTest {
    /** It waits, be it for its first try or for the answer of one that nobody knows the outcome of. */
    private fun waits(state: MessageState) = state == MessageState.Waiting || state == MessageState.Sending

    @Test
    fun send() = story {
        val phone = phone()
        val thread = phone.openThread()
        // Held up, so that what is shown before the answer can be seen.
        practice.faults("delay" to 1.0, "max_delay_ms" to 1500)
        val message = phone.portal.messages().send(thread, "See you on Tuesday")
        val states = mutableListOf(phone.shown(thread, "See you on Tuesday").state)
        assertTrue(waits(states.single()), "first it waits: $states")
        eventually("it is sent") {
            states.add(phone.shown(thread, "See you on Tuesday").state)
            states.last() == MessageState.Sent
        }
        practice.online()
        phone.settle()
        val shown = phone.shown(thread, "See you on Tuesday")
        assertEquals(message, shown.id)
        assertTrue(shown.mine)
        assertEquals(1, practice.effects(message))
        assertEquals(1, practice.texts(thread).count { it == "See you on Tuesday" })
        assertEquals(emptyList<Any>(), phone.portal.outbox().entries())
    }

    @Test
    fun sendOffline() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.offline()
        val message = phone.portal.messages().send(thread, "From a tunnel")
        failsWith<PortalException.Offline>(Reason.ConnectionLost) { phone.portal.sync(null) }
        assertTrue(waits(phone.shown(thread, "From a tunnel").state))
        assertEquals(1uL, phone.portal.home().view().waiting)
        assertEquals(0, practice.effects(message))
        practice.online()
        phone.settle()
        assertEquals(MessageState.Sent, phone.shown(thread, "From a tunnel").state)
        assertEquals(1, practice.effects(message))
    }

    @Test
    fun sendOfflineAndBeKilled() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.offline()
        phone.leave()
        val arguments = phone.arguments + listOf(thread, "Last words")
        val message = ChildJvm("org.portal.stories.Written", arguments).use { writer ->
            writer.line().also { writer.kill() }
        }
        phone.reopen()
        phone.portal.account().unlock()
        val shown = phone.shown(thread, "Last words")
        assertEquals(message, shown.id)
        assertTrue(waits(shown.state))
        assertEquals(0, practice.effects(message))
        practice.online()
        phone.settle()
        assertEquals(MessageState.Sent, phone.shown(thread, "Last words").state)
        assertEquals(1, practice.effects(message))
    }

    @Test
    fun lostAnswer() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.faults("drop_after" to 1.0)
        val message = phone.portal.messages().send(thread, "Did you get this?")
        eventually("the practice did it") { practice.effects(message) > 0 }
        // It is asked again, and answers again without being heard.
        repeat(2) { failsWith<PortalException.Offline>(Reason.ConnectionLost) { phone.portal.sync(null) } }
        assertEquals(MessageState.Sending, phone.shown(thread, "Did you get this?").state)
        practice.online()
        phone.settle()
        assertEquals(MessageState.Sent, phone.shown(thread, "Did you get this?").state)
        assertEquals(1, practice.effects(message))
        assertEquals(1, practice.texts(thread).count { it == "Did you get this?" })
    }

    @Test
    fun callerGoesAway() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.offline()
        val texts = (1..20).map { "Nobody waits for this, $it" }
        val asked = texts.associateWith { text ->
            coroutineScope {
                val sending = async(start = CoroutineStart.UNDISPATCHED) { phone.portal.messages().send(thread, text) }
                // After the first poll, and sometimes later.
                repeat(texts.indexOf(text) % 3) { yield() }
                sending.cancel()
                try {
                    sending.await()
                } catch (_: CancellationException) {
                    null
                }
            }
        }
        assertTrue(asked.values.any { it == null }, "at least one caller was gone before the answer")
        // The verb had begun before its caller went away, so it goes to its end.
        eventually("all of them are there") { phone.portal.outbox().entries().size == texts.size }
        assertEquals(texts.toSet(), phone.portal.outbox().entries().map { it.text }.toSet())
        texts.forEach { phone.shown(thread, it) }
        practice.online()
        phone.settle()
        assertEquals(texts.toSet(), practice.texts(thread).filter { it in texts }.toSet())
        assertEquals(texts.size, practice.texts(thread).count { it in texts })

        // A caller who was gone before anything began: never shown, never sent.
        coroutineScope {
            launch(start = CoroutineStart.LAZY) { phone.portal.messages().send(thread, "Never begun") }.cancel()
        }
        assertTrue(phone.thread(thread).messages.none { it.text == "Never begun" })
        assertEquals(emptyList<Any>(), phone.portal.outbox().entries())
    }

    @Test
    fun startAConversation() = story {
        val phone = phone()
        val recipients = phone.portal.messages().recipients()
        assertTrue(recipients.start.possible)
        val route = recipients.choices.first { it.recipient == Recipient.Route("scheduler") }
        assertTrue(route.writable.possible)
        val started = phone.portal.messages().start(
            NewThread(route.recipient, "A later time", "Could we meet at four?", null),
        )
        assertEquals(started.thread, phone.threads().first().id)
        phone.settle()
        assertEquals(1, practice.effects(started.message))
        assertEquals(listOf("Could we meet at four?"), practice.texts(started.thread))
        practice.reply(started.thread, "Four is fine.")
        phone.settle()
        assertEquals(
            listOf(MessageState.Sent, MessageState.Received(read = false)),
            phone.thread(started.thread).messages.map { it.state },
        )
        assertEquals("Four is fine.", phone.threads().first().lastText)
    }

    @Test
    fun emptyText() = story {
        val phone = phone()
        val thread = phone.openThread()
        for (nothing in listOf("", " \n\t ")) {
            val error = failsWith<PortalException.Refused>(Reason.BodyEmpty) {
                phone.portal.messages().send(thread, nothing)
            }
            assertEquals("text", error.field)
        }
        assertEquals(emptyList<Any>(), phone.portal.outbox().entries())
    }

    @Test
    fun tooLongText() = story {
        val phone = phone()
        practice.policy("message_max_chars" to 100)
        phone.settle()
        val thread = phone.openThread()
        val most = phone.thread(thread).messageMaxChars.toInt()
        assertEquals(100, most)
        // A character of two UTF-16 units is one character.
        val longest = "😀".repeat(most)
        val error = failsWith<PortalException.Refused>(Reason.BodyTooLong) {
            phone.portal.messages().send(thread, longest + "a")
        }
        assertEquals("text", error.field)
        val message = phone.portal.messages().send(thread, longest)
        phone.settle()
        assertEquals(1, practice.effects(message))
    }

    @Test
    fun closedConversation() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.staff("POST", "threads/$thread/close")
        phone.settle()
        assertEquals(Reason.ThreadClosed, phone.thread(thread).reply.reason)
        failsWith<PortalException.Refused>(Reason.ThreadClosed) { phone.portal.messages().send(thread, "Too late") }
        assertEquals(emptyList<Any>(), phone.portal.outbox().entries())
    }

    @Test
    fun draftSurvivesARestart() = story {
        val phone = phone()
        val thread = phone.openThread()
        phone.portal.messages().saveDraft(Draft(null, thread, null, "", "I was about to"))
        phone.restart()
        phone.portal.account().unlock()
        assertEquals("I was about to", phone.thread(thread).draft)
        assertEquals("I was about to", phone.portal.messages().drafts().single().draft.text)
        phone.portal.messages().send(thread, "I was about to say it.")
        assertNull(phone.thread(thread).draft)
        assertEquals(emptyList<Any>(), phone.portal.messages().drafts())
    }

    /** A reply that the practice refused, since it closed the conversation meanwhile. */
    private suspend fun TestPhone.refused(entry: String): OutboxState.Refused? =
        portal.outbox().entries().first { it.id == entry }.state as? OutboxState.Refused

    @Test
    fun outboxRetry() = story {
        val phone = phone()
        val thread = phone.openThread()
        practice.offline()
        phone.portal.messages().send(thread, "Crossed in the mail")
        practice.staff("POST", "threads/$thread/close")
        practice.online()
        phone.settle()
        val entry = phone.portal.outbox().entries().single()
        assertEquals(Reason.ThreadClosed, phone.refused(entry.id)?.reason)
        assertEquals("Crossed in the mail", entry.text)
        assertInstanceOf(MessageState.Refused::class.java, phone.shown(thread, "Crossed in the mail").state)
        assertEquals(1uL, phone.portal.home().view().refused)

        // Again: it waits first, and then the practice says no again.
        practice.offline()
        phone.portal.outbox().retry(entry.id)
        val again = phone.portal.outbox().entries().single()
        assertEquals("Crossed in the mail", again.text)
        assertFalse(again.state is OutboxState.Refused)
        practice.online()
        phone.settle()
        assertEquals(Reason.ThreadClosed, phone.refused(phone.portal.outbox().entries().single().id)?.reason)
        assertTrue(practice.texts(thread).none { it == "Crossed in the mail" })
    }

    /** The practice wants to be left alone for some seconds: what is written now waits without a try. */
    private suspend fun Story.busy(phone: TestPhone) {
        practice.busy()
        failsWith<PortalException.Offline>(Reason.Busy) { phone.portal.sync(null) }
    }

    @Test
    fun outboxEdit() = story {
        val phone = phone()
        val thread = phone.openThread()
        busy(phone)
        phone.portal.messages().send(thread, "Tuesday")
        phone.portal.outbox().edit(phone.portal.outbox().entries().single().id, "Wednesday")
        assertEquals("Wednesday", phone.portal.outbox().entries().single().text)
        phone.shown(thread, "Wednesday")
        practice.online()
        phone.settle()
        assertEquals(1, practice.texts(thread).count { it == "Wednesday" })
        assertTrue("Tuesday" !in practice.texts(thread))
    }

    @Test
    fun outboxDiscard() = story {
        val phone = phone()
        val thread = phone.openThread()
        busy(phone)
        val message = phone.portal.messages().send(thread, "On second thought")
        phone.portal.outbox().discard(phone.portal.outbox().entries().single().id)
        assertEquals(emptyList<Any>(), phone.portal.outbox().entries())
        assertTrue(phone.thread(thread).messages.none { it.text == "On second thought" })
        practice.online()
        phone.settle()
        assertEquals(0, practice.effects(message))
        assertTrue("On second thought" !in practice.texts(thread))
    }
}
