package org.portal.testing

import com.google.gson.Gson
import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import java.io.ByteArrayInputStream
import java.net.URI
import java.net.URLEncoder
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandlers
import java.nio.file.Files
import java.nio.file.Path
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.time.Duration
import java.util.concurrent.TimeUnit
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import kotlin.concurrent.thread

/** The reference practice as a program, with a port, an authority and invented people of its own. */
class TestPractice(private val messages: Int = 60) : AutoCloseable {
    private val folder: Path = Files.createTempDirectory("portal-practice")
    private lateinit var process: Process

    // A test run that is stopped in the middle leaves no practice behind.
    private val reaper = thread(start = false) { process.destroyForcibly() }
    private val greeting: List<String> = launch(0).also { Runtime.getRuntime().addShutdownHook(reaper) }

    val baseUrl: String = told("Listening").substringBefore(' ')
    val pins: List<String> = listOf(told("Pin"), told("Backup pin")).map { it.removePrefix("sha256/") }
    val invitation: String = told("  link")
    val authority: String = Files.readString(Path.of(told("CA")))

    private val http: HttpClient =
        HttpClient.newBuilder().sslContext(trusting(authority)).connectTimeout(Duration.ofSeconds(10)).build()

    /** Ends the program: from then on nothing listens at its address. */
    fun stop() {
        process.destroyForcibly().waitFor(10, TimeUnit.SECONDS)
    }

    /** Starts it again, at the same address with the same keys. It has forgotten everything since its first start. */
    fun startAgain() {
        launch(URI(baseUrl).port)
    }

    override fun close() {
        stop()
        folder.toFile().deleteRecursively()
        runCatching { Runtime.getRuntime().removeShutdownHook(reaper) }
    }

    private fun launch(port: Int): List<String> {
        val command = listOf(
            System.getProperty("portal.practice"), "--demo", "--seed", "11", "--messages", messages.toString(),
            "--addr", "127.0.0.1:$port", "--tls-dir", folder.toString(), "--staff-key", STAFF_KEY,
        )
        process = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val lines = process.inputStream.bufferedReader()
        return generateSequence(lines::readLine).takeWhile { !it.startsWith("End with") }.toList()
    }

    private fun told(name: String): String =
        greeting.first { it.startsWith(name.padEnd(14)) }.substring(14).trim()

    // What staff do.

    /** An act of staff; fails unless the practice did it. */
    fun staff(method: String, path: String, body: Any? = null): JsonObject {
        val request = request("/staff/$path").header("Authorization", "Bearer $STAFF_KEY")
        // A banner that is taken away is `null`: that is a body too.
        val publisher = if (body == null && method != "PUT") {
            BodyPublishers.noBody()
        } else {
            request.header("Content-Type", "application/json")
            BodyPublishers.ofString(Gson().toJson(body ?: JsonNull.INSTANCE))
        }
        val answer = http.send(request.method(method, publisher).build(), BodyHandlers.ofString())
        check(answer.statusCode() in 200..299) { "staff $method $path: ${answer.statusCode()} ${answer.body()}" }
        return if (answer.body().isEmpty()) JsonObject() else JsonParser.parseString(answer.body()).asJsonObject
    }

    /** From now on these go wrong, each with its probability. */
    fun faults(vararg faults: Pair<String, Number>) {
        staff("PUT", "faults", mapOf(*faults))
    }

    /** Nothing of the portal gets through, as in a tunnel; staff still do. */
    fun offline() {
        faults("drop_before" to 1.0)
        check(runCatching { get("$baseUrl/v1/practice") }.isFailure) { "the practice still answers" }
    }

    /** Every request is answered with 503, the first one with the wish for the longest wait. */
    fun busy() {
        fun faults(seed: Int) = faults("seed" to seed, "error_503" to 1.0)
        // Chance decides, so a fitting seed is sought.
        val seed = (1..200).first { seed ->
            faults(seed)
            get("$baseUrl/v1/practice").headers().firstValue("retry-after").orElse("") == "5"
        }
        faults(seed)
    }

    /** Nothing goes wrong any more. */
    fun online() = faults()

    /** The id of the client with this mail address. */
    fun client(email: String = RENEE): String =
        staff("GET", "clients").list("clients").first { it.text("email") == email }.text("id")

    /** Staff write a reply, and its id. */
    fun reply(thread: String, text: String): String {
        val author = staff("GET", "staff").list("staff").first { it.text("name").startsWith("Dr. Amara") }
        val body = mapOf("staff" to author.text("id"), "body" to text)
        return staff("POST", "threads/$thread/messages", body).text("id")
    }

    /** The texts of a conversation, as the practice has them. */
    fun texts(thread: String): List<String> =
        staff("GET", "threads/$thread").list("messages").map { it.text("body") }

    /** How often a message with this id came to exist. */
    fun effects(message: String): Int =
        staff("GET", "effects").list("effects").count { it.text("id") == message }

    /** The practice's figures, with some changed. */
    fun policy(vararg changed: Pair<String, Any>) {
        val figures = mapOf(
            "idle_lock_s" to 300, "background_lock_s" to 60, "reply_hours" to 48,
            "message_max_chars" to 5000, "start_threads" to true,
        )
        staff("PUT", "policy", figures + changed)
    }

    // What a browser does.

    /** Opens the sign-in page, fills its form, and gives where it is sent then. */
    fun browse(url: String, login: String, password: String): String {
        val transaction = get(url).body().substringAfter("name=\"transaction\" value=\"").substringBefore('"')
        val form = mapOf("transaction" to transaction, "login_id" to login, "password" to password)
        val body = form.entries
            .joinToString("&") { (name, value) -> "$name=${URLEncoder.encode(value, Charsets.UTF_8)}" }
        val request = request("/oauth/authorize").header("Content-Type", "application/x-www-form-urlencoded")
        return location(http.send(request.POST(BodyPublishers.ofString(body)).build(), BodyHandlers.ofString()))
    }

    /** Opens a sign-in page that sends an error back, since what is asked for cannot be had. */
    fun browseDenied(url: String): String {
        val impossible = url.replace(Regex("scope=[^&]*"), "scope=everything")
        check(impossible != url) { "no scope in the address" }
        return location(get(impossible))
    }

    fun get(url: String): HttpResponse<String> =
        http.send(HttpRequest.newBuilder(URI(url)).build(), BodyHandlers.ofString())

    private fun location(answer: HttpResponse<String>): String =
        answer.headers().firstValue("location")
            .orElseThrow { AssertionError("no redirect: ${answer.statusCode()}") }

    private fun request(path: String): HttpRequest.Builder =
        HttpRequest.newBuilder(URI(baseUrl + path)).timeout(Duration.ofSeconds(60))

    companion object {
        /** The invited client. */
        const val RENEE = "renee@example.org"

        /** The client who is registered already. */
        const val JORDAN = "jordan@example.org"
        const val JORDANS_PASSWORD = "four quiet herons by noon"

        private const val STAFF_KEY = "a key of this test's staff"

        private fun trusting(pem: String): SSLContext {
            val certificate = CertificateFactory.getInstance("X.509")
                .generateCertificate(ByteArrayInputStream(pem.toByteArray()))
            val store = KeyStore.getInstance(KeyStore.getDefaultType()).apply {
                load(null, null)
                setCertificateEntry("practice", certificate)
            }
            val managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
            managers.init(store)
            return SSLContext.getInstance("TLS").apply { init(null, managers.trustManagers, null) }
        }
    }
}

/** The objects of a list in JSON. */
fun JsonObject.list(name: String): List<JsonObject> = getAsJsonArray(name).map(JsonElement::getAsJsonObject)

/** A text in JSON. */
fun JsonObject.text(name: String): String = get(name).asString
