import Foundation
import PortalCore
import Support
import Testing

@Suite("Writing", .timeLimit(.minutes(5)))
struct WritingStories {
    @Test func send() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            // Slow enough that the message is seen before it is sent.
            try await practice.faults(#"{"delay": 1.0, "max_delay_ms": 900}"#)
            let message = try await phone.portal.messages().send(thread: thread, text: "Exactly once.")
            let first = try await phone.newest(of: thread).filter { $0.text == "Exactly once." }
            #expect(first.map(\.id) == [message])
            #expect(first.first?.state == .waiting || first.first?.state == .sending)
            #expect(first.first?.entry != nil)
            try await practice.faults()
            try await phone.settle()
            let then = try await phone.newest(of: thread).filter { $0.text == "Exactly once." }
            #expect(then.map(\.id) == [message])
            #expect(then.first?.state == .sent)
            #expect(then.first?.n != nil)
            #expect(try await practice.effects(of: message) == 1)
            #expect(try await practice.letters(in: thread).filter { $0.body == "Exactly once." }.count == 1)
        }
    }

    @Test func sendOffline() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.cutOff()
            let message = try await phone.portal.messages().send(thread: thread, text: "From a tunnel.")
            let error = try await thrown { _ = try await phone.portal.sync(deadlineMs: nil) }
            guard case .Offline = error else { throw Failure("\(error)") }
            #expect(try await phone.portal.outbox().entries().map(\.text) == ["From a tunnel."])
            #expect(try await phone.newest(of: thread).last?.id == message)
            #expect(try await practice.effects(of: message) == 0)
            try await practice.faults()
            try await phone.settle(patient: true)
            #expect(try await practice.effects(of: message) == 1)
            #expect(try await phone.newest(of: thread).filter { $0.id == message }.map(\.state) == [.sent])
            #expect(try await phone.portal.outbox().entries().isEmpty)
        }
    }

    @Test func sendOfflineAndBeKilled() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            phone.close()
            try await practice.cutOff()
            let facts = phone.folder.appendingPathComponent("facts.json")
            try JSONEncoder().encode(practice.facts).write(to: facts)
            let message = try await blocking { [folder = phone.folder] in
                let other = try Child([
                    Places.otherProcess.path, "write", folder.path, facts.path, thread, "My last words.",
                ])
                let line = other.readLine() ?? ""
                other.signal(SIGKILL)
                #expect(other.wait() == 128 + SIGKILL)
                guard line.hasPrefix("written ") else { throw Failure("the other process said: \(line)") }
                return String(line.dropFirst("written ".count))
            }
            try await phone.open()
            try await phone.portal.account().unlock()
            let shown = try await phone.newest(of: thread).filter { $0.text == "My last words." }
            #expect(shown.map(\.id) == [message])
            #expect(try await practice.effects(of: message) == 0)
            try await practice.faults()
            try await phone.settle(patient: true)
            #expect(try await practice.effects(of: message) == 1)
            #expect(try await practice.letters(in: thread).filter { $0.body == "My last words." }.count == 1)
            #expect(try await phone.newest(of: thread).filter { $0.id == message }.map(\.state) == [.sent])
        }
    }

    @Test func lostAnswer() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.faults(#"{"drop_after": 1.0}"#)
            let message = try await phone.portal.messages().send(thread: thread, text: "Did you get this?")
            try await eventually("the practice did it") {
                _ = try? await phone.portal.sync(deadlineMs: nil)
                return try await practice.effects(of: message) == 1
            }
            #expect(try await phone.portal.outbox().entries().count == 1, "the phone cannot know")
            try await practice.faults()
            try await phone.settle(patient: true)
            #expect(try await practice.effects(of: message) == 1)
            #expect(try await practice.letters(in: thread).filter { $0.body == "Did you get this?" }.count == 1)
            #expect(
                try await phone.newest(of: thread).filter { $0.text == "Did you get this?" }.map(\.state) == [.sent])
        }
    }

    @Test func callerGoesAway() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.cutOff()
            let messages = phone.portal.messages()
            var kept: Set<String> = []
            for n in 0..<20 {
                let task = Task { try await messages.send(thread: thread, text: "Nobody waits for \(n).") }
                if n % 2 == 0 { await Task.yield() }
                task.cancel()
                if let id = try? await task.value { kept.insert(id) }
            }
            let entries = try await phone.portal.outbox().entries()
            let shown = try await phone.newest(of: thread).filter { $0.text.hasPrefix("Nobody waits for") }
            #expect(Set(shown.map(\.id)) == kept)
            #expect(entries.count == shown.count)
            #expect(Set(entries.map(\.text)) == Set(shown.map(\.text)))
            try await practice.faults()
            try await phone.settle(patient: true)
            for id in kept { #expect(try await practice.effects(of: id) == 1) }
        }
    }

    @Test func startAConversation() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let choices = try await phone.portal.messages().recipients().choices
            let route = try found(choices.first { $0.recipient == .route(route: "scheduler") })
            #expect(route.writable.possible)
            let started = try await phone.portal.messages().start(
                thread: NewThread(
                    recipient: route.recipient, subject: "A later hour", text: "Is there one?", draft: nil))
            try await phone.settle()
            #expect(try await practice.letters(in: started.thread).map(\.body) == ["Is there one?"])
            #expect(try await practice.letters(in: started.thread).map(\.id) == [started.message])
            try await practice.reply(in: started.thread, "Yes, at five.")
            try await phone.settle()
            #expect(try await phone.newest(of: started.thread).map(\.text) == ["Is there one?", "Yes, at five."])
            #expect(try await phone.conversation().id == started.thread)
        }
    }

    @Test func emptyText() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            await refused(.Refused(reason: .bodyEmpty, field: "text")) {
                _ = try await phone.portal.messages().send(thread: thread, text: "")
            }
            #expect(try await phone.portal.outbox().entries().isEmpty)
        }
    }

    @Test func tooLongText() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            let most = Int(try await phone.portal.messages().thread(id: thread, before: nil, limit: 1).messageMaxChars)
            #expect(most > 0)
            let text = String(repeating: "é", count: most)
            await refused(.Refused(reason: .bodyTooLong, field: "text")) {
                _ = try await phone.portal.messages().send(thread: thread, text: text + "é")
            }
            #expect(try await phone.portal.outbox().entries().isEmpty)
            let message = try await phone.portal.messages().send(thread: thread, text: text)
            try await phone.settle()
            #expect(try await practice.letters(in: thread).first { $0.id == message }?.body == text)
        }
    }

    @Test func closedConversation() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.staff("POST", "threads/\(thread)/close")
            try await phone.settle()
            await refused(.Refused(reason: .threadClosed, field: nil)) {
                _ = try await phone.portal.messages().send(thread: thread, text: "One more thing")
            }
            let view = try await phone.portal.messages().thread(id: thread, before: nil, limit: 1)
            #expect(view.reply == Availability(possible: false, reason: .threadClosed))
            #expect(try await phone.portal.outbox().entries().isEmpty)
        }
    }

    @Test func draftSurvivesARestart() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            for text in ["D", "Dr", "Draft of a rep"] {
                _ = try await phone.portal.messages().saveDraft(
                    draft: Draft(key: nil, thread: thread, recipient: nil, subject: "", text: text))
            }
            try await phone.restart()
            try await phone.portal.account().unlock()
            #expect(
                try await phone.portal.messages().thread(id: thread, before: nil, limit: 1).draft == "Draft of a rep")
            #expect(try await phone.portal.messages().drafts().map(\.draft.text) == ["Draft of a rep"])
            _ = try await phone.portal.messages().send(thread: thread, text: "Draft of a reply.")
            #expect(try await phone.portal.messages().thread(id: thread, before: nil, limit: 1).draft == nil)
            #expect(try await phone.portal.messages().drafts().isEmpty)
        }
    }

    @Test func outboxRetry() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.cutOff()
            let message = try await phone.portal.messages().send(thread: thread, text: "Too late?")
            try await practice.staff("POST", "threads/\(thread)/close")
            try await practice.faults()
            try await phone.settle(patient: true)
            let no = OutboxState.refused(reason: .threadClosed, field: "thread")
            let entry = try found(await phone.portal.outbox().entries().first)
            #expect(entry.state == no)
            #expect(entry.text == "Too late?")
            #expect(try await phone.portal.home().view().refused == 1)
            try await practice.cutOff()
            try await phone.portal.outbox().retry(id: entry.id)
            let again = try await phone.portal.outbox().entries()
            #expect(again.count == 1)
            #expect(again.first?.state == .waiting || again.first?.state == .sending)
            try await practice.faults()
            try await phone.settle(patient: true)
            #expect(try await phone.portal.outbox().entries().map(\.state) == [no])
            #expect(try await practice.effects(of: message) == 0)
        }
    }

    @Test func outboxEdit() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await phone.holdBack(at: practice)
            let message = try await phone.portal.messages().send(thread: thread, text: "Old text")
            let entry = try found(await phone.portal.outbox().entries().first)
            #expect(entry.state == .waiting && entry.change.possible)
            try await phone.portal.outbox().edit(id: entry.id, text: "New text")
            #expect(try await phone.newest(of: thread).first { $0.id == message }?.text == "New text")
            try await practice.faults()
            try await phone.settle(patient: true)
            let letters = try await practice.letters(in: thread)
            #expect(letters.filter { $0.id == message }.map(\.body) == ["New text"])
            #expect(!letters.contains { $0.body == "Old text" })
        }
    }

    @Test func outboxDiscard() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await phone.holdBack(at: practice)
            let message = try await phone.portal.messages().send(thread: thread, text: "Better not")
            let entry = try found(await phone.portal.outbox().entries().first)
            try await phone.portal.outbox().discard(id: entry.id)
            #expect(try await phone.portal.outbox().entries().isEmpty)
            #expect(!(try await phone.newest(of: thread)).contains { $0.id == message })
            try await practice.faults()
            try await phone.settle(patient: true)
            #expect(try await practice.effects(of: message) == 0)
            #expect(!(try await practice.letters(in: thread)).contains { $0.body == "Better not" })
        }
    }
}

extension Handset {
    /// The practice asks to wait, and the phone does for a second at least. What is written then has not
    /// begun to leave; what is on its way could be neither edited nor taken back.
    fileprivate func holdBack(at practice: PracticeProgram) async throws {
        try await practice.faults(#"{"error_503": 1.0}"#)
        await refused(.Offline(reason: .busy)) { _ = try await portal.sync(deadlineMs: nil) }
    }
}
