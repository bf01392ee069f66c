import Foundation
import PortalCore

/// The reference practice, a program of its own that listens on a TLS socket of this machine.
public final class PracticeProgram: @unchecked Sendable {
    /// What it said of itself when it started.
    public struct Facts: Codable, Sendable {
        /// Its origin.
        public var url = ""
        /// The bearer key of its staff API.
        public var staffKey = ""
        /// The keys to insist on.
        public var pins: [String] = []
        /// The file with the authority to trust.
        public var authority = ""
        /// The link in the main client's invitation.
        public var invitation = ""
    }

    /// What it said of itself.
    public let facts: Facts
    private let arguments: [String]
    private let lock = NSLock()
    private var child: Child?

    /// Starts one with so many messages for the main client. Its keys are kept in `folder`.
    public init(messages: Int, folder: URL) throws {
        let arguments = ["--demo", "--seed", "11", "--messages", "\(messages)", "--tls-dir", folder.path]
        let (child, facts) = try Self.launch(arguments + ["--addr", "127.0.0.1:0"])
        let port = facts.url.split(separator: ":").last ?? ""
        self.arguments = arguments + ["--addr", "127.0.0.1:\(port)", "--staff-key", facts.staffKey]
        self.child = child
        self.facts = facts
    }

    /// Ends it, so that nothing listens where it did.
    public func kill() {
        let child = lock.withLock {
            defer { self.child = nil }
            return self.child
        }
        child?.closeInput()
        child?.wait()
    }

    /// Starts it again at the same address, with the same people, as it was at the very beginning.
    public func startAgain() throws {
        let (child, _) = try Self.launch(arguments)
        lock.withLock { self.child = child }
    }

    private static func launch(_ arguments: [String]) throws -> (Child, Facts) {
        // The shell ends it when its own input ends: when we say so, and also when we crash.
        let guardian = #""$@" & practice=$!; exec 2>/dev/null; cat >/dev/null; kill -9 $practice; wait $practice"#
        let child = try Child(["/bin/sh", "-c", guardian, "sh", Places.practice.path] + arguments)
        var facts = Facts()
        while let line = child.readLine() {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case "Listening": facts.url = words[1]
            case "Staff": facts.staffKey = words[2]
            case "Pin", "Backup": facts.pins.append(String(words.last!.dropFirst("sha256/".count)))
            case "CA": facts.authority = words[1]
            case "link": facts.invitation = words[1]
            case "End": return (child, facts)
            default: break
            }
        }
        throw Failure("the practice did not start; bindings/build --tests makes it at \(Places.practice.path)")
    }

    deinit {
        kill()
    }
}

// What staff do.
extension PracticeProgram {
    /// Something that has an id.
    public struct Item: Decodable, Sendable {
        /// The id.
        public let id: String
        /// A client's mail address.
        public let email: String?
        /// A staff member's name.
        public let name: String?
        /// A conversation's subject.
        public let subject: String?
        /// How far the client has read.
        public let read_upto: String?
    }

    /// A message as the practice has it.
    public struct Letter: Decodable, Sendable {
        /// The id.
        public let id: String
        /// The text.
        public let body: String
    }

    /// Asks the staff API and gives what it answers.
    @discardableResult
    public func staff(_ method: String, _ path: String, _ body: String? = nil) async throws -> Data {
        var arguments = ["-X", method, "-H", "Authorization: Bearer \(facts.staffKey)"]
        if let body { arguments += ["-H", "Content-Type: application/json", "-d", body] }
        let (code, output) = try await curl(["--fail-with-body"] + arguments + [facts.url + "/staff/" + path])
        guard code == 0 else { throw Failure("staff \(method) \(path): \(code) \(output)") }
        return Data(output.utf8)
    }

    /// One list of the staff API.
    public func items(_ path: String) async throws -> [Item] {
        let lists = try JSONDecoder().decode([String: [Item]].self, from: await staff("GET", path))
        return lists.first?.value ?? []
    }

    /// The id of the client with that mail address.
    public func client(_ email: String = Who.renee.login) async throws -> String {
        try found(await items("clients").first { $0.email == email }).id
    }

    /// The id of somebody who works there.
    public func colleague(_ name: String = "Daniel Reyes-Ortiz") async throws -> String {
        try found(await items("staff").first { $0.name == name }).id
    }

    /// Staff write in a conversation; gives the message's id.
    @discardableResult
    public func reply(in thread: String, _ text: String) async throws -> String {
        let body = try JSONEncoder().encode(["staff": await colleague(), "body": text])
        let answer = try await staff("POST", "threads/\(thread)/messages", String(decoding: body, as: UTF8.self))
        return try JSONDecoder().decode([String: String].self, from: answer)["id"] ?? ""
    }

    /// The messages of a conversation as the practice has them.
    public func letters(in thread: String) async throws -> [Letter] {
        struct Thread: Decodable { let messages: [Letter] }
        return try JSONDecoder().decode(Thread.self, from: await staff("GET", "threads/\(thread)")).messages
    }

    /// How often the practice took the message with that id.
    public func effects(of message: String) async throws -> Int {
        struct Effects: Decodable { let effects: [Effect] }
        struct Effect: Decodable { let id: String }
        return try JSONDecoder().decode(Effects.self, from: await staff("GET", "effects")).effects.filter {
            $0.id == message
        }.count
    }

    /// What goes wrong from now on, as JSON; nothing by default.
    public func faults(_ faults: String = "{}") async throws {
        try await staff("PUT", "faults", faults)
    }

    /// From now on the line is dead: whoever asks the practice's portal is cut off.
    public func cutOff() async throws {
        try await faults(#"{"drop_before": 1.0}"#)
    }

    /// What a browser does with the sign-in page: opens it, fills the form, sends it, and gives where
    /// it is sent then.
    public func browse(_ page: String, as who: Who) async throws -> String {
        let html = try await curl([page]).output
        let mark = #"name="transaction" value=""#
        guard let start = html.range(of: mark)?.upperBound, let end = html[start...].firstIndex(of: "\"") else {
            throw Failure("no form: \(html)")
        }
        let form = ["transaction=\(html[start..<end])", "login_id=\(who.login)", "password=\(who.password)"]
        let fields = form.flatMap { ["--data-urlencode", $0] }
        return try await location(of: facts.url + "/oauth/authorize", fields)
    }

    /// Where a page sends whoever opens it.
    public func location(of page: String, _ arguments: [String] = []) async throws -> String {
        // As it stands there: curl's own %{redirect_url} does not know the app's scheme.
        let head = try await curl(arguments + ["--output", "/dev/null", "--dump-header", "-", page]).output
        let line = head.split(whereSeparator: \.isNewline).first { $0.lowercased().hasPrefix("location:") }
        return try found(line).dropFirst("location:".count).trimmingCharacters(in: .whitespaces)
    }

    /// Asks for the feed without a token, so often, and gives the codes of the refusals: what befalls
    /// a phone's requests, seen from outside.
    public func probe(times: Int) async throws -> [String] {
        struct Problem: Decodable { let code: String }
        let urls = Array(repeating: facts.url + "/v1/sync", count: times)
        let lines = try await curl(["-w", "\n"] + urls).output.split(separator: "\n")
        return try lines.map { try JSONDecoder().decode(Problem.self, from: Data($0.utf8)).code }
    }

    private func curl(_ arguments: [String]) async throws -> (code: Int32, output: String) {
        // Foundation on Linux cannot be told to trust an authority, curl can.
        try await Child.run(["curl", "--silent", "--show-error", "--cacert", facts.authority] + arguments)
    }
}

/// A client of the practice.
public struct Who: Sendable {
    /// The login.
    public let login: String
    /// The password.
    public let password: String

    /// Invited, and registers with this password.
    public static let renee = Who(login: "renee@example.org", password: "seven green umbrellas")
    /// Registered already.
    public static let jordan = Who(login: "jordan@example.org", password: "four quiet herons by noon")
}

/// What has to be there.
public func found<T>(_ value: T?) throws -> T {
    guard let value else { throw Failure("what a test looks for is not there") }
    return value
}
