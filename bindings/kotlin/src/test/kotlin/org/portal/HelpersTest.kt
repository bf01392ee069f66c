package org.portal

import java.nio.file.Files
import java.nio.file.Path
import java.time.Instant
import java.time.ZoneOffset
import java.time.ZonedDateTime
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The little that stands beside the generated code. */
class HelpersTest {
    /** A listener that hands out what it is given, and then waits, or ends. */
    private class Listener(private val told: MutableList<Change>, private val ends: Boolean) : Changes(NoHandle) {
        override suspend fun next(): Change? = told.removeFirstOrNull() ?: if (ends) null else awaitCancellation()
    }

    private class Told(private val told: List<Change>, private val ends: Boolean = false) : Portal(NoHandle) {
        val listeners = mutableListOf<Listener>()
        override fun changes(): Changes = Listener(told.toMutableList(), ends).also(listeners::add)
    }

    @Test
    fun theFlowIsColdAndEachCollectorHasAListener() = runBlocking {
        val portal = Told(listOf(Change.Home, Change.Synced), ends = true)
        val flow = portal.changesFlow()
        assertEquals(0, portal.listeners.size)
        repeat(2) { assertEquals(listOf(Change.Everything, Change.Home, Change.Synced), flow.toList()) }
        assertEquals(2, portal.listeners.size)
        assertTrue(portal.listeners.all { it.uniffiIsDestroyed })
    }

    @Test
    fun aCollectorThatGoesFreesItsListener() = runBlocking {
        val portal = Told(listOf(Change.Home))
        assertEquals(listOf(Change.Everything, Change.Home), portal.changesFlow().take(2).toList())
        assertTrue(portal.listeners.single().uniffiIsDestroyed)
        coroutineScope {
            val collecting = launch(start = CoroutineStart.UNDISPATCHED) { portal.changesFlow().collect {} }
            assertFalse(portal.listeners.last().uniffiIsDestroyed)
            collecting.cancelAndJoin()
            assertTrue(portal.listeners.last().uniffiIsDestroyed)
        }
        val failure = runCatching { portal.changesFlow().collect { error("the screen failed") } }
        assertEquals("the screen failed", failure.exceptionOrNull()?.message)
        assertTrue(portal.listeners.last().uniffiIsDestroyed)
    }

    @Test
    fun aTimeIsShownInItsZone() {
        val at = Instant.parse("2026-03-08T07:30:00Z")
        val there = ZonedDateTime.parse("2026-03-08T03:30:00-04:00[America/New_York]")
        assertEquals(there, When(at, "America/New_York").toZonedDateTime())
        for (unknown in listOf("Mars/Olympus", "", "not a zone")) {
            assertEquals(at.atZone(ZoneOffset.UTC), When(at, unknown).toZonedDateTime())
        }
    }

    @Test
    fun everyErrorHasItsReason() {
        val reason = Reason.Other("tea_time")
        val kinds = listOf(
            PortalException.Offline(reason), PortalException.SignedOut(reason), PortalException.Locked(reason),
            PortalException.Refused(reason, null), PortalException.Conflict(reason), PortalException.NotFound(reason),
            PortalException.Storage(reason), PortalException.Bug(reason),
        )
        assertEquals(PortalException::class.java.permittedSubclasses.size, kinds.size)
        assertTrue(kinds.all { it.reason == reason })
    }

    @Test
    fun everyReasonHasTheCodeOfTheCore() {
        val source = Files.readString(Path.of("../../core/src/error.rs"))
        val codes = Regex("""^ {4}(\w+) = "(\w+)",""", RegexOption.MULTILINE).findAll(source)
            .associate { it.groupValues[1] to it.groupValues[2] }
        assertTrue(codes.size > 50)
        val reasons = Reason::class.java.permittedSubclasses.filter { it != Reason.Other::class.java }
        assertEquals(codes.keys, reasons.map { it.simpleName }.toSet())
        for (kind in reasons) {
            val reason = kind.getField("INSTANCE").get(null) as Reason
            assertEquals(codes[kind.simpleName], reason.code)
        }
        assertEquals("tea_time", Reason.Other("tea_time").code)
    }
}
