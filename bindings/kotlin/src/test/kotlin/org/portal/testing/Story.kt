package org.portal.testing

import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.fail
import org.portal.PortalConfig
import org.portal.PortalException
import org.portal.Reason
import org.portal.reason

/** A practice and the phones of one test; all of them end with it. */
class Story(val practice: TestPractice) : AutoCloseable {
    private val open = mutableListOf<AutoCloseable>()

    /** A phone that has never been used. */
    suspend fun newPhone(change: (PortalConfig) -> PortalConfig = { it }): TestPhone =
        TestPhone.new(practice, change).also(open::add)

    /** A phone on which the invited client registered, and everything arrived. */
    suspend fun phone(): TestPhone = newPhone().apply { register() }

    /** Ends with the story. */
    fun <T : AutoCloseable> keep(other: T): T = other.also(open::add)

    override fun close() = open.asReversed().forEach(AutoCloseable::close)
}

/** Tells a story against a practice of its own. */
fun story(messages: Int = 60, tell: suspend Story.() -> Unit) {
    TestPractice(messages).use { practice ->
        Story(practice).use { story -> runBlocking(Dispatchers.Default) { story.tell() } }
    }
}

/** Waits until something on another thread has happened; what never happens is a failed test. */
suspend fun eventually(what: String, within: Duration = 60.seconds, happened: suspend () -> Boolean) {
    val start = TimeSource.Monotonic.markNow()
    while (!happened()) {
        if (start.elapsedNow() > within) fail<Unit>("never: $what")
        delay(10.milliseconds)
    }
}

/** The verb answers with an error of this kind and reason. */
suspend inline fun <reified E : PortalException> failsWith(reason: Reason, verb: suspend () -> Any?): E {
    val error = try {
        verb()
        null
    } catch (error: PortalException) {
        error
    } ?: fail("it worked; expected ${E::class.simpleName} with $reason")
    assertEquals(reason, error.reason)
    return assertInstanceOf(E::class.java, error)
}

/** The log belongs to the whole process: a test that listens to it holds this. */
const val LOG: String = "the log of this process"
