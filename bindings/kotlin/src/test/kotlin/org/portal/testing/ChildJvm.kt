package org.portal.testing

import java.io.BufferedReader
import java.io.File
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread

/**
 * Another JVM with the classes of this one, which runs `main` of a file: to be killed, or to look at its own
 * threads and memory undisturbed. Its standard error goes to a file.
 */
class ChildJvm(
    main: String,
    arguments: List<String>,
    library: String = System.getProperty("jna.library.path"),
    options: List<String> = emptyList(),
    environment: Map<String, String> = emptyMap(),
) : AutoCloseable {
    private val errors: File = Files.createTempFile("portal-kotlin", ".err").toFile()
    private val process: Process = ProcessBuilder(
        listOf(Path.of(System.getProperty("java.home"), "bin", "java").toString()) +
            listOf("-Djna.library.path=$library", "-Dportal.practice=${System.getProperty("portal.practice")}") +
            listOf("-XX:TieredStopAtLevel=1", "-Xmx256m") + options +
            listOf("-cp", System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path"), main) +
            arguments,
    ).redirectError(errors).apply { environment().putAll(environment) }.start()
    private val lines: BufferedReader = process.inputStream.bufferedReader()
    private val reaper = thread(start = false) { process.destroyForcibly() }

    init {
        Runtime.getRuntime().addShutdownHook(reaper)
    }

    /** The next line that it prints; fails when it ended instead. */
    fun line(): String = lines.readLine() ?: throw AssertionError("the process ended: ${errors.readText()}")

    /** The rest of what it prints, once it has ended with code 0. */
    fun rest(): List<String> = lines.readLines().also {
        val code = process.waitFor()
        if (code != 0) throw AssertionError("the process ended with $code: $it ${errors.readText()}")
    }

    /** What it has written to standard error so far. */
    fun errors(): String = errors.readText()

    /** Ends it at once, as the system does: nothing of it runs any more. */
    fun kill() {
        process.destroyForcibly()
        check(process.waitFor(20, TimeUnit.SECONDS))
    }

    override fun close() {
        kill()
        errors.delete()
        runCatching { Runtime.getRuntime().removeShutdownHook(reaper) }
    }
}
