package org.portal.testing

import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.Executors
import kotlin.concurrent.thread
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import org.portal.FfiConverterTypeKeyVault
import org.portal.Portal
import org.portal.PortalConfig
import org.portal.ThreadFilter
import kotlin.system.exitProcess

/** What a process of its own finds out about itself. A check that fails ends it with an error. */
fun main(arguments: Array<String>) {
    val (practice, authority, pin, backup) = arguments.drop(1)
    val (data, keys) = arguments.drop(5)
    val config = TestPhone.config(practice, authority, listOf(pin, backup), Path.of(data))
    val measured = Measured(config, FileVault(Path.of(keys)))
    when (arguments[0]) {
        "caller" -> measured.caller()
        "cycles" -> measured.cycles()
        "garbage" -> measured.garbage()
        else -> error("unknown: ${arguments[0]}")
    }
    exitProcess(0)
}

private class Measured(private val config: PortalConfig, private val vault: FileVault) {
    // The caller's thread.

    /**
     * Nothing of the store or of TLS runs on the thread that calls: it moves no bytes of files, and it is never held
     * up (what goes over sockets is not among the bytes that the system counts here).
     */
    fun caller(): Unit = Executors.newSingleThreadExecutor { Thread(it, CALLER) }.asCoroutineDispatcher().use { dispatcher ->
        runBlocking(dispatcher) {
            val portal = Portal.open(config, vault)
            var longest = 0L
            val ticking = launch {
                var last = System.nanoTime()
                while (true) {
                    delay(1)
                    longest = maxOf(longest, System.nanoTime() - last)
                    last = System.nanoTime()
                }
            }
            // Once for the classes: loading them reads files on this thread.
            repeat(2) { day(portal) }
            val task = task()
            repeat(2) { io(task) to io(Path.of("/proc/self")) }
            val (mine, all) = io(task) to io(Path.of("/proc/self"))
            longest = 0
            repeat(3) { day(portal) }
            val (bytes, allBytes) = io(task) - mine to io(Path.of("/proc/self")) - all
            ticking.cancel()
            println("caller: $bytes of $allBytes bytes, held up ${longest / 1_000_000} ms")
            check(allBytes > 1_000_000) { "the day had too little in it: $allBytes bytes" }
            // Waking another thread writes 8 bytes; reading these figures is among them.
            check(bytes < 10_000) { "the caller's thread moved $bytes of $allBytes bytes" }
            check(longest < 500_000_000) { "the caller's thread was held up for ${longest / 1_000_000} ms" }
            portal.account().lock()
        }
    }

    /** Everything that opens files or talks to the practice, with little to carry over. */
    private suspend fun day(portal: Portal) {
        portal.account().unlock()
        portal.sync(null)
        val thread = portal.messages().threads(ThreadFilter.ALL, 0u, 100u).threads.first { !it.closed }.id
        portal.messages().thread(thread, null, 50u)
        portal.messages().search("appointment", 20u)
        portal.messages().send(thread, "From a thread with a name")
        portal.sync(null)
        portal.messages().print(thread)
        portal.account().lock()
    }

    private fun task(): Path = Files.list(Path.of("/proc/self/task")).use { tasks ->
        tasks.filter { Files.readString(it.resolve("comm")).trim() == CALLER }.toList().single()
    }

    /** Bytes that were read and written. */
    private fun io(of: Path): Long = Files.readAllLines(of.resolve("io"))
        .filter { it.startsWith("rchar") || it.startsWith("wchar") }.sumOf { it.substringAfter(": ").toLong() }

    // Openings and closings.

    fun cycles() = runBlocking {
        repeat(WARM_UP) { cycle() }
        repeat(20) { cycleWithRecords() }
        val before = settled()
        val start = System.nanoTime()
        repeat(CYCLES) { cycle() }
        val seconds = (System.nanoTime() - start) / 1e9
        repeat(100) { cycleWithRecords() }
        val after = settled()
        println("cycles: $CYCLES in %.1f s; before $before, after $after".format(seconds))
        check(after.files <= before.files + 2) { "files: $before, $after" }
        // Threads that wait for blocking work end when they have had none for a while.
        check(after.threads <= before.threads + 8) { "threads: $before, $after" }
        check(after.vaults <= before.vaults) { "vaults: $before, $after" }
        check(after.kilobytes <= before.kilobytes + 24_000) { "memory: $before, $after" }
    }

    private suspend fun cycle() = Portal.open(config, vault).use { portal ->
        portal.account().use { it.session() }
    }

    private suspend fun cycleWithRecords() = Portal.open(config, vault).use { portal ->
        portal.account().use { account ->
            account.unlock()
            portal.messages().use { it.threads(ThreadFilter.ALL, 0u, 1u) }
            account.lock()
        }
    }

    data class Held(val files: Int, val threads: Int, val vaults: Int, val kilobytes: Int)

    private suspend fun settled(): Held {
        repeat(5) {
            System.gc()
            delay(100)
        }
        val status = Files.readAllLines(Path.of("/proc/self/status"))
        return Held(
            files = count("/proc/self/fd"),
            threads = count("/proc/self/task"),
            vaults = FfiConverterTypeKeyVault.handleMap.size,
            kilobytes = status.first { it.startsWith("VmRSS") }.filter(Char::isDigit).toInt(),
        )
    }

    private fun count(folder: String): Int = Files.list(Path.of(folder)).use { it.count().toInt() }

    // Garbage.

    fun garbage() {
        // The first one starts what stays: the core's threads and the JVM's.
        runBlocking { abandon() }
        collected("the first one")
        val (files, threads) = count("/proc/self/fd") to count("/proc/self/task")
        repeat(10) { runBlocking { abandon() } }
        // No coroutine runs any more. The records are still open: nobody locked them.
        thread { collected("what other threads made") }.join()
        // Files close on threads of their own, and connections of the network a little later.
        val end = System.nanoTime() + 60_000_000_000
        while (count("/proc/self/fd") > files + 2) {
            check(System.nanoTime() < end) { "files stay open" }
            Thread.sleep(20)
        }
        // Open records have at least two threads.
        check(count("/proc/self/task") < threads + 10) { "threads stay" }
        runBlocking { cycleWithRecords() }
    }

    /** Opens a portal with its records, and forgets it. */
    private suspend fun abandon() = withContext(Dispatchers.Default) {
        val portal = Portal.open(config, vault)
        portal.account().unlock()
        portal.changes()
        portal.messages().threads(ThreadFilter.ALL, 0u, 1u)
    }

    private fun collected(what: String) {
        val end = System.nanoTime() + 30_000_000_000
        while (FfiConverterTypeKeyVault.handleMap.size > 0) {
            check(System.nanoTime() < end) { "$what: ${FfiConverterTypeKeyVault.handleMap.size} vaults are still held" }
            System.gc()
            Thread.sleep(20)
        }
    }

    private companion object {
        /** Longer names are cut by the system. */
        const val CALLER = "caller-of-verbs"
        const val WARM_UP = 500
        const val CYCLES = 10_000
    }
}
