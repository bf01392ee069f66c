package org.portal.stories

import java.nio.file.Files
import java.nio.file.Path
import kotlin.io.path.Path
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Order
import org.junit.jupiter.api.Test
import org.portal.PortalException
import org.portal.Reason
import org.portal.SessionState
import org.portal.VaultException
import org.portal.testing.TestPhone
import org.portal.testing.eventually
import org.portal.testing.failsWith
import org.portal.testing.story

/** Locking. It begins first, since one of its tests waits for a minute. */
@Order(1)
class LockingTest {
    private fun state(phone: TestPhone): Pair<SessionState, Reason?> =
        phone.portal.account().session().let { it.state to it.reason }

    @Test
    @Order(1)
    fun lockByIdleTime() = story {
        val phone = phone()
        // The shortest time that the core takes from a practice.
        practice.policy("idle_lock_s" to 60)
        phone.settle()
        eventually("the practice's time counts") { phone.portal.account().session().lockInMs!! <= 60_000u }
        delay(1.seconds)
        phone.portal.account().touch()
        val left = phone.portal.account().session().lockInMs!!
        assertTrue(left in 59_000u..60_000u, "a touch begins the time again: $left")
        delay(left.toLong().milliseconds / 2)
        assertTrue(phone.threads().isNotEmpty())
        assertTrue(phone.portal.account().session().lockInMs!! <= left / 2u, "a read is no touch")
        // Nobody asks anything: it locks by itself, and closes its files.
        delay(phone.portal.account().session().lockInMs!!.toLong().milliseconds)
        eventually("its files are closed", 10.seconds) { openFiles(phone).isEmpty() }
        assertEquals(SessionState.LOCKED to Reason.LockedIdle, state(phone))
        failsWith<PortalException.Locked>(Reason.LockedIdle) { phone.threads() }
        phone.portal.account().unlock()
        assertTrue(phone.threads().isNotEmpty())
    }

    /** The files of the person that this process holds open. */
    private fun openFiles(phone: TestPhone): List<Path> = Files.list(Path("/proc/self/fd")).use { files ->
        files.toList().mapNotNull { runCatching { Files.readSymbolicLink(it) }.getOrNull() }
            .filter { it.startsWith(Path(phone.config.dataDir, "users")) }
    }

    @Test
    fun lockAndUnlock() = story {
        val phone = phone()
        val before = phone.shows()
        practice.offline()
        phone.portal.account().lock()
        assertEquals(SessionState.LOCKED to Reason.LockedNow, state(phone))
        failsWith<PortalException.Locked>(Reason.LockedNow) { phone.portal.home().view() }
        failsWith<PortalException.Locked>(Reason.LockedNow) { phone.threads() }
        failsWith<PortalException.Locked>(Reason.LockedNow) { phone.portal.messages().search("a", 1u) }
        phone.portal.account().unlock()
        assertEquals(SessionState.ACTIVE to null, state(phone))
        assertEquals(before, phone.shows())
    }

    @Test
    fun lockedAfterARestart() = story {
        val phone = phone()
        val before = phone.shows()
        phone.restart()
        assertEquals(SessionState.LOCKED, state(phone).first)
        failsWith<PortalException.Locked>(Reason.LockedNow) { phone.threads() }
        phone.portal.account().unlock()
        assertEquals(before, phone.shows())
    }

    @Test
    fun wrongKey() = story {
        val phone = phone()
        val before = phone.shows()
        phone.portal.account().lock()
        phone.vault.unwrapping = { key -> key.copyOf().also { it[it.size - 1] = (it.last() + 1).toByte() } }
        failsWith<PortalException.Locked>(Reason.WrongKey) { phone.portal.account().unlock() }
        assertEquals(SessionState.LOCKED, state(phone).first)
        phone.vault.unwrapping = null
        phone.portal.account().unlock()
        assertEquals(before, phone.shows())
    }

    @Test
    fun vaultRefuses() = story {
        val phone = phone()
        phone.portal.account().lock()
        phone.vault.unwrapping = { throw VaultException.Refused(7) }
        failsWith<PortalException.Locked>(Reason.VaultRefused) { phone.portal.account().unlock() }
        assertEquals(SessionState.LOCKED, state(phone).first)
        phone.vault.unwrapping = null
        phone.portal.account().unlock()
        assertTrue(phone.threads().isNotEmpty())
    }

    @Test
    fun vaultThrows() = story {
        val phone = phone()
        phone.portal.account().lock()
        phone.vault.unwrapping = { throw IllegalStateException("the hardware is on fire") }
        val error = failsWith<PortalException.Locked>(Reason.VaultFailed) { phone.portal.account().unlock() }
        assertFalse("fire" in error.toString())
        assertEquals(SessionState.LOCKED, state(phone).first)
        phone.vault.unwrapping = null
        phone.portal.account().unlock()
        assertTrue(phone.threads().isNotEmpty())
    }

    @Test
    fun vaultKeyGone() = story {
        val phone = phone()
        val before = phone.shows().values.flatten().map { it.id to it.text }.toSet()
        phone.portal.account().lock()
        val folder = phone.people().single()
        phone.vault.delete(folder.fileName.toString())
        failsWith<PortalException.SignedOut>(Reason.VaultKeyGone) { phone.portal.account().unlock() }
        assertEquals(SessionState.SIGNED_OUT to Reason.VaultKeyGone, state(phone))
        assertEquals(emptyList<Any>(), phone.people())
        phone.signIn()
        assertEquals(before, phone.shows().values.flatten().map { it.id to it.text }.toSet())
        assertNotEquals(folder, phone.people().single())
    }

    @Test
    fun wipe() = story {
        val phone = phone()
        for (locked in listOf(false, true)) {
            if (locked) {
                phone.signIn()
                phone.portal.account().lock()
            }
            assertEquals(1, phone.people().size)
            phone.portal.account().wipe()
            assertEquals(SessionState.SIGNED_OUT, state(phone).first)
            assertEquals(emptyList<Any>(), phone.people())
            assertEquals(listOf("portal-install"), phone.vault.aliases())
            failsWith<PortalException.SignedOut>(Reason.NotSignedIn) { phone.threads() }
        }
    }

    @Test
    fun suspendAndResume() = story {
        val phone = phone()
        val before = phone.shows()
        assertTrue(openFiles(phone).isNotEmpty())
        phone.portal.suspend()
        assertTrue(openFiles(phone).isEmpty())
        failsWith<PortalException.Storage>(Reason.Suspended) { phone.portal.home().view() }
        failsWith<PortalException.Storage>(Reason.Suspended) { phone.threads() }
        phone.portal.resume()
        assertEquals(before, phone.shows())
    }
}
