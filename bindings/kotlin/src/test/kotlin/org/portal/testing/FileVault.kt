package org.portal.testing

import java.nio.file.FileAlreadyExistsException
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardOpenOption.CREATE_NEW
import java.nio.file.StandardOpenOption.WRITE
import java.security.GeneralSecurityException
import java.security.SecureRandom
import javax.crypto.Cipher
import javax.crypto.spec.GCMParameterSpec
import javax.crypto.spec.SecretKeySpec
import org.portal.KeyPolicy
import org.portal.KeyVault
import org.portal.VaultException

/** A key store in files, so that a process that is killed leaves its keys to the next one. Protects nothing. */
class FileVault(private val directory: Path) : KeyVault {
    /** What an unwrap of a person's key answers instead, while set; the function gets the true answer. */
    @Volatile
    var unwrapping: ((ByteArray) -> ByteArray)? = null

    init {
        Files.createDirectories(directory)
    }

    override fun create(alias: String, policy: KeyPolicy) {
        try {
            Files.write(directory.resolve(alias), ByteArray(32).also(random::nextBytes), CREATE_NEW, WRITE)
        } catch (_: FileAlreadyExistsException) {
            // It stays as it is.
        }
    }

    override fun wrap(alias: String, plaintext: ByteArray): ByteArray {
        val nonce = ByteArray(12).also(random::nextBytes)
        return nonce + cipher(Cipher.ENCRYPT_MODE, alias, nonce).doFinal(plaintext)
    }

    override fun unwrap(alias: String, wrapped: ByteArray): ByteArray {
        val answer = try {
            cipher(Cipher.DECRYPT_MODE, alias, wrapped.copyOf(12)).doFinal(wrapped, 12, wrapped.size - 12)
        } catch (_: GeneralSecurityException) {
            throw VaultException.Failed(1)
        }
        return unwrapping.takeIf { alias != INSTALL }?.invoke(answer) ?: answer
    }

    override fun delete(alias: String) {
        Files.deleteIfExists(directory.resolve(alias))
    }

    /** The keys that there are. */
    fun aliases(): List<String> =
        Files.list(directory).use { files -> files.map { it.fileName.toString() }.sorted().toList() }

    private fun cipher(mode: Int, alias: String, nonce: ByteArray): Cipher {
        val key = try {
            Files.readAllBytes(directory.resolve(alias))
        } catch (_: NoSuchFileException) {
            throw VaultException.KeyGone(2)
        }
        return Cipher.getInstance("AES/GCM/NoPadding").apply {
            init(mode, SecretKeySpec(key, "AES"), GCMParameterSpec(128, nonce))
        }
    }

    companion object {
        /** The key of the installation; the others are each a person's. */
        const val INSTALL = "portal-install"
        private val random = SecureRandom()
    }
}
