import Foundation
import PortalCore

/// A phone: a folder with files, a vault with keys, and the portal that is open over them.
public final class Handset: @unchecked Sendable {
    /// Where its files are.
    public let folder: URL
    /// Its keys.
    public let vault: FileVault
    /// Its configuration, which a test may change before it opens.
    public var config: PortalConfig
    /// The portal, once it is open.
    public private(set) var portal: Portal!

    /// A phone of that practice with files in `folder`, which may be another process's.
    public init(of practice: PracticeProgram.Facts, in folder: URL) throws {
        _ = Self.brokenPipesAreErrors
        self.folder = folder
        vault = FileVault(file: folder.appendingPathComponent("keys.json"))
        config = PortalConfig(
            practiceUrl: practice.url,
            clientId: "org.portal.phone",
            redirectUri: "org.portal.phone:/signed-in",
            rootsPem: try String(contentsOfFile: practice.authority, encoding: .utf8),
            pins: [PinSet(spkiSha256: practice.pins, expiresAt: nil)],
            dataDir: folder.appendingPathComponent("data").path,
            allowLoopbackHttp: false)
    }

    // On Linux Rust writes to a socket with `writev`, and when the practice has closed it the signal
    // would end a process that does not ignore it. On Apple's systems the socket itself is told not to.
    private static let brokenPipesAreErrors: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    /// Opens the portal.
    public func open() async throws {
        portal = try await Portal.open(config: config, vault: vault)
    }

    /// Closes it, as the end of the process would.
    public func close() {
        portal = nil
    }

    /// Closes it and opens another one over the same files, as the next start of the app does.
    public func restart() async throws {
        close()
        try await open()
    }

    /// The main client's invitation and what belongs to it.
    public static func registration(_ practice: PracticeProgram) -> Registration {
        Registration(
            invitationLink: practice.facts.invitation, lastName: "O'Connor-Núñez", dateOfBirth: "1990-02-28",
            password: Who.renee.password)
    }

    /// Opens it, registers the main client and fetches everything.
    public func register(at practice: PracticeProgram) async throws {
        try await open()
        try await portal.account().register(registration: Self.registration(practice))
        try await settle()
    }

    /// Signs in through the practice's page, as somebody with a browser does.
    public func signIn(_ who: Who, at practice: PracticeProgram) async throws {
        let page = try await portal.account().signInBegin()
        try await portal.account().signInFinish(redirect: practice.browse(page, as: who))
    }

    /// Syncs until everything is fetched and sent. `patient` also outlasts an error that passes.
    @discardableResult
    public func settle(patient: Bool = false) async throws -> SyncReport {
        var last: SyncReport?
        try await eventually("a complete sync") {
            do {
                let report = try await portal.sync(deadlineMs: nil)
                last = report
                return report.complete && report.waiting == 0
            } catch PortalError.Offline where patient {
                return false
            }
        }
        return try found(last)
    }

    /// The newest conversation that is not closed.
    public func conversation() async throws -> ThreadSummary {
        let page = try await portal.messages().threads(filter: .all, offset: 0, limit: 100)
        return try found(page.threads.first { !$0.closed })
    }

    /// The newest messages of a conversation.
    public func newest(of thread: String, limit: UInt32 = 50) async throws -> [MessageView] {
        try await portal.messages().thread(id: thread, before: nil, limit: limit).messages
    }

    /// Every message of every conversation, read in pages.
    public func everything() async throws -> [String: [MessageView]] {
        var all: [String: [MessageView]] = [:]
        var offset: UInt32 = 0
        while true {
            let list = try await portal.messages().threads(filter: .all, offset: offset, limit: 100)
            if list.threads.isEmpty { return all }
            offset += UInt32(list.threads.count)
            for thread in list.threads {
                var before: UInt64?
                var messages: [MessageView] = []
                repeat {
                    let page = try await portal.messages().thread(id: thread.id, before: before, limit: 100)
                    messages = page.messages + messages
                    before = page.earlier
                } while before != nil
                all[thread.id] = messages
            }
        }
    }
}

extension Handset {
    /// The folders of people whose records are here.
    public var people: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: config.dataDir + "/users")) ?? []
    }
}
