package org.portal.stories

import java.time.ZoneId
import java.time.format.DateTimeFormatter
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.portal.MessageState
import org.portal.PortalException
import org.portal.Reason
import org.portal.ThreadFilter
import org.portal.testing.TestPhone
import org.portal.testing.failsWith
import org.portal.testing.list
import org.portal.testing.story
import org.portal.testing.text
import org.portal.toZonedDateTime

/** Reading. */
class ReadingTest {
    @Test
    fun readPages() = story(messages = 300) {
        val phone = phone()
        val longest = phone.threads().associateWith { phone.whole(it.id).size }.maxBy { it.value }.key.id
        val newest = phone.portal.messages().thread(longest, null, 7u)
        assertEquals(7, newest.messages.size)
        val read = phone.whole(longest, limit = 7u)
        assertTrue(read.size > 14, "more than two pages: ${read.size}")
        assertEquals((1uL..read.size.toULong()).toList(), read.map { it.n })
        assertEquals(practice.texts(longest), read.map { it.text })
        assertEquals(newest.messages, read.takeLast(7))
        val beginning = phone.portal.messages().thread(longest, 3uL, 7u)
        assertEquals(listOf<ULong?>(1uL, 2uL), beginning.messages.map { it.n })
        assertNull(beginning.earlier)
    }

    @Test
    fun unreadConversations() = story(messages = 100) {
        val phone = phone()
        val all = phone.threads()
        val unread = phone.portal.messages().threads(ThreadFilter.UNREAD, 0u, 100u)
        assertTrue(unread.threads.isNotEmpty() && unread.threads.size < all.size)
        assertEquals(all.filter { it.unread > 0uL }, unread.threads)
        assertEquals(unread.threads.size.toUInt(), unread.total)
        assertEquals(unread.threads.sumOf { it.unread }, phone.portal.home().view().badge)
        for (thread in all) {
            val counted = phone.whole(thread.id).count { it.state == MessageState.Received(read = false) }
            assertEquals(thread.unread, counted.toULong())
        }
    }

    @Test
    fun staffReply() = story {
        val phone = phone()
        val thread = phone.threads().last { !it.closed }
        assertTrue(thread.id != phone.threads().first().id)
        val message = practice.reply(thread.id, "We have a time for you")
        phone.settle()
        val shown = phone.shown(thread.id, "We have a time for you")
        assertEquals(message, shown.id)
        assertEquals(MessageState.Received(read = false), shown.state)
        assertEquals("Dr. Amara Okafor", shown.author.name)
        val top = phone.threads().first()
        assertEquals(thread.id to thread.unread + 1uL, top.id to top.unread)
    }

    @Test
    fun markRead() = story {
        val phone = phone()
        val thread = phone.threads(ThreadFilter.UNREAD).first { !it.closed }
        val badge = phone.portal.home().view().badge
        practice.offline()
        val newest = phone.thread(thread.id).messages.last().n!!
        phone.portal.messages().markRead(thread.id, newest)
        assertEquals(badge - thread.unread, phone.portal.home().view().badge)
        assertTrue(phone.whole(thread.id).none { it.state == MessageState.Received(read = false) })
        practice.online()
        phone.settle()
        assertEquals(badge - thread.unread, phone.portal.home().view().badge)
        val threads = practice.staff("GET", "clients/${practice.client()}/threads").list("threads")
        val there = threads.first { it.text("id") == thread.id }
        assertEquals(newest.toString(), there.text("read_upto"))
    }

    @Test
    fun readMarksAcrossTwoInstalls() = story {
        val one = phone()
        val two = newPhone().apply { signIn() }
        val thread = one.threads(ThreadFilter.UNREAD).first()
        assertTrue(two.threads().first { it.id == thread.id }.unread > 0uL)
        one.portal.messages().markRead(thread.id, one.thread(thread.id).messages.last().n!!)
        one.settle()
        two.settle()
        assertEquals(0uL, two.threads().first { it.id == thread.id }.unread)
        assertEquals(one.portal.home().view().badge, two.portal.home().view().badge)
    }

    @Test
    fun searchInThreeScripts() = story {
        val phone = phone()
        val thread = phone.openThread()
        val texts = listOf(
            "Où est le café à Zürich?" to listOf("café", "CAFE", "zurich", "ou est"),
            "Следующая встреча во вторник" to listOf("ВСТРЕЧА", "втор"),
            "次の予約は火曜日です" to listOf("予約", "火曜日"),
        )
        texts.forEach { (text) -> phone.portal.messages().send(thread, text) }
        phone.settle()
        for ((text, words) in texts) {
            for (word in words) {
                val hits = phone.portal.messages().search(word, 100u)
                assertEquals(1, hits.count { it.message.text == text }, word)
                assertTrue(hits.all { it.thread != thread || it.excerpt.isNotEmpty() })
            }
        }
        assertEquals(emptyList<Any>(), phone.portal.messages().search("水曜日", 100u))
    }

    @Test
    fun print() = story(messages = 200) {
        val phone = phone()
        val thread = phone.threads().first()
        val printed = phone.portal.messages().print(thread.id)
        assertEquals(thread.subject, printed.title)
        val minutes = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm")
        val messages = phone.whole(thread.id)
        assertTrue(messages.isNotEmpty())
        for (message in messages) {
            assertTrue(message.text in printed.text)
            val at = message.at.toZonedDateTime()
            assertEquals(ZoneId.of(message.at.zone), at.zone)
            val heads = printed.text.lines().filter { it.startsWith(minutes.format(at)) }
            val line = heads.first { it.endsWith(message.author.name) }
            assertTrue("(${message.at.zone})" in line, "the time names its zone")
        }
    }

    @Test
    fun withdrawnConversation() = story {
        val phone = phone()
        val thread = phone.openThread()
        val words = phone.thread(thread).messages.last().text.take(20)
        assertTrue(phone.portal.messages().search(words, 100u).any { it.thread == thread })
        practice.staff("POST", "threads/$thread/withdraw")
        phone.settle()
        assertTrue(phone.threads().none { it.id == thread })
        failsWith<PortalException.NotFound>(Reason.ThreadUnknown) { phone.thread(thread) }
        assertTrue(phone.portal.messages().search(words, 100u).none { it.thread == thread })
    }

    @Test
    fun crisisCard() = story {
        fun check(phone: TestPhone) {
            val lines = phone.portal.home().crisisCard().lines
            assertTrue(lines.any { it.number == "988" })
        }
        val phone = newPhone()
        practice.offline()
        check(phone)
        practice.online()
        phone.register()
        practice.offline()
        phone.portal.account().lock()
        check(phone)
        assertEquals("Juniper Ridge Behavioral Health", phone.portal.home().crisisCard().practice)
        phone.restart()
        check(phone)
        assertTrue(phone.portal.home().crisisCard().phones.isNotEmpty())
    }

    @Test
    fun emojiAndRightToLeft() = story {
        val phone = phone()
        val thread = phone.openThread()
        val texts = listOf(
            "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇺🇦",
            "موعدك القادم يوم الثلاثاء \u200F(12:30)",
            "cafe\u0301 u\u0308ber — Zalgo: a\u0300\u0301\u0302\u0323",
        )
        texts.forEach { phone.portal.messages().send(thread, it) }
        phone.settle()
        val other = newPhone().apply { signIn() }
        assertEquals(texts, other.thread(thread).messages.takeLast(3).map { it.text })
        assertEquals(texts, practice.texts(thread).takeLast(3))
        assertEquals(texts, phone.thread(thread).messages.takeLast(3).map { it.text })
    }
}
