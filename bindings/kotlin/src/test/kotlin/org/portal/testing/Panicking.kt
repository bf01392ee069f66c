package org.portal.testing

import java.nio.file.Path
import java.util.concurrent.ConcurrentLinkedQueue
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import org.portal.Draft
import org.portal.LogEvent
import org.portal.LogLine
import org.portal.LogSink
import org.portal.NewThread
import org.portal.Portal
import org.portal.PortalException
import org.portal.Recipient
import org.portal.ThreadFilter
import org.portal.code
import org.portal.logTo
import org.portal.reason

/** A process whose core panics whenever it passes a moment. It tells what each verb answered, whole. */
fun main(arguments: Array<String>) {
    val (practice, authority, pin, backup) = arguments
    val (data, keys) = arguments.drop(4)
    val lines = ConcurrentLinkedQueue<LogLine>()
    logTo(object : LogSink {
        override fun log(line: LogLine) {
            lines.add(line)
        }
    })
    runBlocking {
        val config = TestPhone.config(practice, authority, listOf(pin, backup), Path.of(data))
        val portal = Portal.open(config, FileVault(Path.of(keys)))
        tell("unlock") { portal.account().unlock() }
        val threads = runCatching { portal.messages().threads(ThreadFilter.ALL, 0u, 100u).threads }.getOrDefault(emptyList())
        val thread = threads.firstOrNull { !it.closed }?.id ?: ""
        tell("draft") { portal.messages().saveDraft(Draft(null, thread, null, "", "Typed")) }
        tell("send") { portal.messages().send(thread, "Then the core panicked") }
        tell("start") { portal.messages().start(NewThread(Recipient.Route("biller"), "Subject", "Text", null)) }
        tell("sync") { portal.sync(null) }
        tell("suspend") { portal.suspend() }
        tell("resume") { portal.resume() }
        tell("read") { portal.messages().threads(ThreadFilter.ALL, 0u, 1u) }
        tell("lock") { portal.account().lock() }
        if (portal.home().crisisCard().lines.any { it.number == "988" }) println("afterwards the card shows a number")
        portal.close()
    }
    lines.filter { it.event == LogEvent.PANICKED }.forEach { println("log ${it.event} ${it.code} ${it.value}") }
    exitProcess(0)
}

private suspend fun tell(verb: String, does: suspend () -> Any?) {
    try {
        does()
        println("verb $verb done")
    } catch (error: Exception) {
        val reason = (error as? PortalException)?.reason?.code
        val what = if (reason != null) "${error.javaClass.simpleName}:$reason" else error.javaClass.name
        println("verb $verb $what")
        // All of it, so that whoever reads this finds what must not be in there.
        println("text " + error.stackTraceToString().lines().joinToString(" "))
    }
}
