// The examples of docs/use-from-swift.md, which run here. Whoever changes one changes the other: a
// test compares them.
import Foundation
import Observation
import PortalCore
import Support
import Testing

// What the page shows is written as an app would, at the top level.

@Observable @MainActor
final class Conversation {
    private(set) var messages: [MessageView] = []
    private let portal: Portal
    private let id: String

    init(_ portal: Portal, _ id: String) {
        self.portal = portal
        self.id = id
    }

    func show() async throws {
        messages = try await portal.messages().thread(id: id, before: nil, limit: 50).messages
    }

    /// Run it as long as the screen is there: `.task { try? await conversation.follow() }`.
    func follow() async throws {
        let changes = portal.changeSequence
        try await show()
        for await change in changes {
            switch change {
            case .messages(let thread) where thread == nil || thread == id: try await show()
            case .everything: try await show()
            default: break
            }
        }
    }
}

func words(for error: PortalError) -> String {
    switch error {
    case .Offline(.busy): "The practice is busy. It will be tried again."
    case .Offline: "No connection to the practice. What you write is kept."
    case .Locked(.vaultRefused): "That did not work. Try again."
    case .Locked: "Unlock to go on."
    case .SignedOut(.accessRevoked): "The practice has ended your access. Please call them."
    case .SignedOut: "Please sign in."
    case .Refused(.bodyTooLong, _): "This message is too long."
    case .Refused(.updateRequired, _): "Please update the app."
    case .Refused(.other, _): "The practice could not do this."
    case .Refused, .Conflict, .NotFound: "This is not possible (any more)."
    case .Storage(.diskFull): "The phone is full."
    case .Storage, .Bug: "Something went wrong here. Nothing you wrote is lost."
    }
}

final class Log: LogSink {
    func log(line: LogLine) {
        print("portal: \(line.event) \(line.code) \(line.value)")
    }
}

@Suite("Use it from Swift", .timeLimit(.minutes(5)))
struct UseIt {
    @Test func thePageRuns() async throws {
        try await story { practice, phone in
            let vault = phone.vault
            let (practiceURL, authority, pins) = (practice.facts.url, phone.config.rootsPem, practice.facts.pins)
            let folder = phone.folder

            let config = PortalConfig(
                practiceUrl: practiceURL,
                clientId: "org.portal.phone",
                redirectUri: "org.portal.phone:/signed-in",
                rootsPem: authority,
                pins: [PinSet(spkiSha256: pins, expiresAt: nil)],
                dataDir: folder.appendingPathComponent("portal").path,
                allowLoopbackHttp: false)
            let portal = try await Portal.open(config: config, vault: vault)

            try await signIn(portal) { page in
                try await practice.browse(page, as: .jordan)
            }
            #expect(portal.account().session().state == .active)

            let report = try await portal.sync(within: .seconds(20))
            if !report.complete { print("\(report.waiting) messages still wait") }

            try await phone.staffWrite(at: practice, portal)
            try await read(portal)

            let page = try await portal.messages().threads(filter: .all, offset: 0, limit: 1)
            let thread = try found(page.threads.first).id
            let model = await Conversation(portal, thread)
            let follow = Task { try await model.follow() }
            try await eventually("the screen shows something") { await !model.messages.isEmpty }
            let before = await model.messages.count

            let id = try await portal.messages().send(thread: thread, text: "Thank you!")

            try await eventually("the screen shows it") { await model.messages.contains { $0.id == id } }
            #expect(await model.messages.count == before + 1)
            follow.cancel()
            try await follow.value

            try await keepDraft(portal, thread)
            try await portal.account().lock()
            try await unlock(portal)
            #expect(portal.account().session().state == .active)

            logTo(sink: Log())
            logTo(sink: nil)
            #expect(words(for: .Offline(reason: .noConnection)).contains("kept"))
        }
    }

    /// `browser` stands for `ASWebAuthenticationSession`: it opens the page and gives the address that
    /// the app was called back with.
    private func signIn(_ portal: Portal, browser: (String) async throws -> String) async throws {
        let page = try await portal.account().signInBegin()
        let redirect = try await browser(page)
        try await portal.account().signInFinish(redirect: redirect)
    }

    private func read(_ portal: Portal) async throws {
        let page = try await portal.messages().threads(filter: .all, offset: 0, limit: 50)
        for thread in page.threads {
            print(thread.subject, thread.unread, thread.lastAt.at, thread.lastAt.zone)
        }

        guard let first = page.threads.first else { return }
        var view = try await portal.messages().thread(id: first.id, before: nil, limit: 50)
        while let earlier = view.earlier {
            view = try await portal.messages().thread(id: first.id, before: earlier, limit: 50)
        }

        if let newest = view.messages.last?.n {
            try await portal.messages().markRead(thread: first.id, upto: newest)
        }
    }

    private func keepDraft(_ portal: Portal, _ thread: String) async throws {
        let draft = Draft(key: nil, thread: thread, recipient: nil, subject: "", text: "One more thi")
        _ = try await portal.messages().saveDraft(draft: draft)
    }

    private func unlock(_ portal: Portal) async throws {
        do {
            try await portal.account().unlock()
        } catch PortalError.Locked(.vaultRefused) {
            // The person pressed "Cancel": leave the button where it is.
        } catch PortalError.SignedOut(.vaultKeyGone) {
            // A new fingerprint was enrolled, say: the records are gone, a sign-in brings them back.
        }
    }
}

extension Handset {
    /// So that there is something to mark as read.
    fileprivate func staffWrite(at practice: PracticeProgram, _ portal: Portal) async throws {
        let page = try await portal.messages().threads(filter: .all, offset: 0, limit: 1)
        try await practice.reply(in: found(page.threads.first).id, "See you on Tuesday.")
        try await portal.sync(within: .seconds(20))
    }
}
