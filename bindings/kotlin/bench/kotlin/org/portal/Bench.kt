package org.portal

import java.util.Locale
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import org.portal.testing.TestPhone
import org.portal.testing.TestPractice

/*
 * What carrying a call, a page and a long list to Kotlin costs, against functions of the same library that have
 * no core behind them: `mvn -Pbench test`. One line a figure; `noisy` when the floor itself varied by more than half.
 */

private const val PAIRS = 11

/** One figure: medians of pairs that alternate, so that a busy moment of the machine meets both. */
private suspend fun compare(name: String, calls: Int, ours: suspend () -> Any?, floor: suspend () -> Any?) {
    suspend fun microseconds(call: suspend () -> Any?): Double {
        val start = System.nanoTime()
        repeat(calls) { call() }
        return (System.nanoTime() - start) / 1000.0 / calls
    }
    // Until both are compiled: the last compiler steps in after some ten thousand calls, or some seconds.
    val warm = System.nanoTime() + 3_000_000_000
    while (System.nanoTime() < warm) {
        microseconds(ours)
        microseconds(floor)
    }
    val pairs = List(PAIRS) { n ->
        if (n % 2 == 0) {
            val mine = microseconds(ours)
            mine to microseconds(floor)
        } else {
            val theirs = microseconds(floor)
            microseconds(ours) to theirs
        }
    }
    val mine = pairs.map { it.first }.sorted()[PAIRS / 2]
    val floors = pairs.map { it.second }.sorted()
    val base = floors[PAIRS / 2]
    val noisy = if (floors.last() - floors.first() > base / 2) " noisy" else ""
    val figures = "ours=%.1fus floor=%.1fus ratio=%.2f".format(Locale.ROOT, mine, base, mine / base)
    println("bench ffi-kotlin/$name $figures$noisy")
}

/** Measures all figures and ends. */
fun main() {
    TestPractice(messages = 2000).use { practice ->
        runBlocking {
            TestPhone.new(practice).use { phone ->
                phone.register()
                measure(practice, phone)
            }
        }
    }
    exitProcess(0)
}

private suspend fun measure(practice: TestPractice, phone: TestPhone) {
    val messages = phone.portal.messages()
    val outbox = phone.portal.outbox()
    val page = phone.threads().filter { !it.closed }
        .map { messages.thread(it.id, null, 50u) }.first { it.messages.size == 50 }
    val thread = page.thread.id

    floorKeep(page, emptyList())
    compare("call", calls = 2000, ours = { messages.drafts() }, floor = { floorCall() })
    compare("page", calls = 200, ours = { messages.thread(thread, null, 50u) }, floor = { floorPage() })

    practice.stop()
    repeat(1000) { messages.send(thread, "Written offline, number $it.") }
    val list = outbox.entries()
    check(list.size == 1000) { "${list.size} entries wait, not 1,000" }
    floorKeep(page, list)
    compare("list", calls = 10, ours = { outbox.entries() }, floor = { floorList() })
}
