import Foundation
import PortalCore
import Support
import Testing

@Suite("The portal as a whole", .timeLimit(.minutes(5)))
struct WholeStories {
    /// Waits for that change. Others may come before it: the core fetches in the background too.
    private func told(by listener: Changes, _ change: Change) async throws {
        var others: [Change] = []
        while let next = await listener.next() {
            if next == change { return }
            others.append(next)
        }
        Issue.record("\(change) was never told, but \(others)")
    }

    @Test func changes() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            let listener = phone.portal.changes()
            try await practice.reply(in: thread, "You will hear of this.")
            try await phone.settle()
            try await told(by: listener, .messages(thread: thread))
            let another = phone.portal.changes()
            try await phone.portal.account().lock()
            try await told(by: another, .session)
        }
    }

    @Test func changesAfterALag() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let listener = phone.portal.changes()
            try await practice.cutOff()
            for n in 0..<70 {
                _ = try await phone.portal.messages().start(
                    thread: NewThread(
                        recipient: .route(route: "biller"), subject: "Question \(n)", text: "?", draft: nil))
            }
            #expect(await listener.next() == .everything)
        }
    }

    @Test func changesStop() async throws {
        try await story { practice, phone in
            try await phone.open()
            let listener = phone.portal.changes()
            let waiting = Task { await listener.next() }
            listener.stop()
            #expect(await waiting.value == nil)
            #expect(await listener.next() == nil)
            // The sequence too, when its task is cancelled.
            let portal = phone.portal!
            let loop = Task {
                var told = 0
                for await _ in portal.changeSequence { told += 1 }
                return told
            }
            loop.cancel()
            #expect(await loop.value == 0)
        }
    }

    @Test func twoPortalsInOneProcess() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let folder = phone.folder.appendingPathComponent("second")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let second = try Handset(of: practice.facts, in: folder)
            try await second.open()
            try await second.signIn(.jordan, at: practice)
            async let one: Void = { _ = try await phone.settle() }()
            async let two: Void = { _ = try await second.settle() }()
            _ = try await (one, two)
            let firsts = try await phone.everything(), seconds = try await second.everything()
            #expect(!firsts.isEmpty && !seconds.isEmpty)
            #expect(Set(firsts.keys).isDisjoint(with: seconds.keys))
            #expect(try await phone.portal.home().view().me.name.contains("Renée"))
            #expect(try await second.portal.home().view().me.name.contains("Whitaker"))
            let message = try await phone.portal.messages().send(thread: phone.conversation().id, text: "Only mine.")
            try await phone.settle()
            try await second.settle()
            #expect(try await practice.effects(of: message) == 1)
            #expect(try await second.portal.messages().search(query: "Only mine", limit: 10).isEmpty)
            try await phone.portal.account().lock()
            #expect(second.portal.account().session().state == .active)
        }
    }

    @Test func badConfiguration() async throws {
        let folder = try Places.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        let good = PortalConfig(
            practiceUrl: "https://portal.example.org", clientId: "org.portal.phone",
            redirectUri: "org.portal.phone:/signed-in",
            rootsPem: "", pins: [], dataDir: folder.appendingPathComponent("data").path, allowLoopbackHttp: false)
        func check(_ field: String, _ spoil: (inout PortalConfig) -> Void) async throws {
            var config = good
            spoil(&config)
            let vault = FileVault(file: folder.appendingPathComponent("keys.json"))
            let error = try await thrown { _ = try await Portal.open(config: config, vault: vault) }
            #expect(error == .Refused(reason: .badConfiguration, field: field))
        }
        for wrong in [
            "", "portal.example.org", "https://portal.example.org/path", "https://portal.example.org?q",
            "http://portal.example.org",
        ] {
            try await check("practice_url") { $0.practiceUrl = wrong }
        }
        try await check("client_id") { $0.clientId = "" }
        for wrong in ["", "portal:/signed-in", "http://portal.example.org/", "org.portal.phone:/signed-in#x"] {
            try await check("redirect_uri") { $0.redirectUri = wrong }
        }
        try await check("roots_pem") { $0.rootsPem = "no certificate" }
        try await check("pins") { $0.pins = [PinSet(spkiSha256: ["no digest"], expiresAt: nil)] }
        try await check("data_dir") { $0.dataDir = "" }
    }
}
