import Foundation
import PortalCore

/// Tells a story: a fresh practice, and a phone of it that has never been used. Both are gone
/// afterwards.
public func story(
    messages: Int = 20, _ tell: (PracticeProgram, Handset) async throws -> Void
) async throws {
    await Gate.shared.enter()
    do {
        try await untimed(messages: messages, tell)
    } catch {
        await Gate.shared.leave()
        throw error
    }
    await Gate.shared.leave()
}

/// The same for a story that mostly waits: it does not wait for the others.
public func untimed(
    messages: Int = 20, _ tell: (PracticeProgram, Handset) async throws -> Void
) async throws {
    let folder = try Places.scratch()
    defer { try? FileManager.default.removeItem(at: folder) }
    let practice = try await blocking {
        try PracticeProgram(messages: messages, folder: folder.appendingPathComponent("tls"))
    }
    defer { practice.kill() }
    let phone = try Handset(of: practice.facts, in: folder)
    defer { phone.close() }
    try await tell(practice, phone)
}

/// Lets only a few in at a time: sixty practices at once would only wait for each other.
private actor Gate {
    static let shared = Gate()
    private var free = 4
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    func leave() {
        if waiting.isEmpty {
            free += 1
        } else {
            waiting.removeFirst().resume()
        }
    }
}
