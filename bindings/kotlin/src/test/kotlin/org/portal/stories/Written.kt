@file:JvmName("Written")

package org.portal.stories

import kotlinx.coroutines.runBlocking
import org.portal.Portal
import org.portal.testing.FileVault
import org.portal.testing.TestPhone
import java.nio.file.Path

/** The process that is killed: it unlocks, writes a message, says so, and waits. */
fun main(arguments: Array<String>) = runBlocking {
    val (practice, authority, pin, backup) = arguments
    val (data, keys, thread, text) = arguments.drop(4)
    val config = TestPhone.config(practice, authority, listOf(pin, backup), Path.of(data))
    val portal = Portal.open(config, FileVault(Path.of(keys)))
    portal.account().unlock()
    println(portal.messages().send(thread, text))
    Thread.sleep(Long.MAX_VALUE)
}
