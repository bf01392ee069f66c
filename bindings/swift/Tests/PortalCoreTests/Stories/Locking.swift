import Foundation
import PortalCore
import Support
import Testing

@Suite("Locking", .timeLimit(.minutes(5)))
struct LockingStories {
    @Test func lockAndUnlock() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let before = try await phone.everything()
            practice.kill()
            try await phone.portal.account().lock()
            #expect(phone.portal.account().session().state == .locked)
            await refused(.Locked(reason: .lockedNow)) { _ = try await phone.portal.home().view() }
            await refused(.Locked(reason: .lockedNow)) {
                _ = try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 10)
            }
            try await phone.portal.account().unlock()
            #expect(phone.portal.account().session().state == .active)
            #expect(try await phone.everything() == before)
        }
    }

    @Test func lockedAfterARestart() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let before = try await phone.everything()
            try await phone.restart()
            #expect(phone.portal.account().session().state == .locked)
            let error = try await thrown { _ = try await phone.portal.home().view() }
            guard case .Locked = error else { throw Failure("\(error)") }
            try await phone.portal.account().unlock()
            #expect(try await phone.everything() == before)
        }
    }

    @Test func lockByIdleTime() async throws {
        // The shortest time that the core takes from a practice is a minute.
        try await untimed { practice, phone in
            try await phone.register(at: practice)
            try await practice.staff(
                "PUT", "policy",
                #"{"idle_lock_s": 60, "background_lock_s": 60, "reply_hours": 48, "message_max_chars": 5000, "start_threads": true}"#
            )
            try await phone.settle()
            try await eventually("the new idle time") {
                phone.portal.account().session().lockIn ?? .zero <= .seconds(60)
            }
            let changes = phone.portal.changes()
            phone.portal.account().touch()
            let touched = ContinuousClock.now
            #expect(try found(phone.portal.account().session().lockIn) > .seconds(55))
            // Nobody asks: the change tells.
            while phone.portal.account().session().state == .active, await changes.next() != nil {}
            let idle = ContinuousClock.now - touched
            #expect(idle > .seconds(59) && idle < .seconds(75), "\(idle)")
            #expect(phone.portal.account().session().state == .locked)
            #expect(phone.portal.account().session().reason == .lockedIdle)
            await refused(.Locked(reason: .lockedIdle)) { _ = try await phone.portal.home().view() }
        }
    }

    @Test func wrongKey() async throws {
        try await locked { phone, before in
            phone.vault.unwrapOnce(.data(Data(repeating: 7, count: 32)))
            await refused(.Locked(reason: .wrongKey)) { try await phone.portal.account().unlock() }
            #expect(phone.portal.account().session().state == .locked)
            try await phone.portal.account().unlock()
            #expect(try await phone.everything() == before)
        }
    }

    @Test func vaultRefuses() async throws {
        try await locked { phone, before in
            phone.vault.unwrapOnce(.error(VaultError.Refused(code: -128)))
            await refused(.Locked(reason: .vaultRefused)) { try await phone.portal.account().unlock() }
            #expect(phone.portal.account().session().state == .locked)
            try await phone.portal.account().unlock()
            #expect(try await phone.everything() == before)
        }
    }

    @Test func vaultThrows() async throws {
        try await locked { phone, before in
            phone.vault.unwrapOnce(.error(Failure("nobody expects this")))
            await refused(.Locked(reason: .vaultFailed)) { try await phone.portal.account().unlock() }
            #expect(phone.portal.account().session().state == .locked)
            try await phone.portal.account().unlock()
            #expect(try await phone.everything() == before)
        }
    }

    @Test func vaultKeyGone() async throws {
        try await story { practice, phone in
            try await phone.open()
            try await phone.signIn(.jordan, at: practice)
            try await phone.settle()
            let before = try await phone.everything()
            #expect(!before.isEmpty)
            try await phone.portal.account().lock()
            phone.vault.unwrapOnce(.error(VaultError.KeyGone(code: -25300)))
            await refused(.SignedOut(reason: .vaultKeyGone)) { try await phone.portal.account().unlock() }
            #expect(phone.portal.account().session().state == .signedOut)
            try await phone.signIn(.jordan, at: practice)
            try await phone.settle()
            #expect(try await phone.everything().mapValues { $0.map(\.text) } == before.mapValues { $0.map(\.text) })
        }
    }

    @Test func wipe() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            try await phone.portal.account().lock()
            #expect(phone.people.count == 1)
            try await phone.portal.account().wipe()
            #expect(phone.people.isEmpty)
            #expect(try phone.vault.count == 1)
            #expect(phone.portal.account().session().state == .signedOut)
            await refused(.SignedOut(reason: .notSignedIn)) { _ = try await phone.portal.home().view() }
            try await phone.restart()
            #expect(phone.portal.account().session().state == .signedOut)
            try await phone.signIn(.jordan, at: practice)
            #expect(phone.people.count == 1)
            try await phone.portal.account().wipe()
            #expect(phone.people.isEmpty)
        }
    }

    @Test func suspendAndResume() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let before = try await phone.everything()
            try await phone.portal.suspend()
            await refused(.Storage(reason: .suspended)) { _ = try await phone.portal.home().view() }
            await refused(.Storage(reason: .suspended)) {
                _ = try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 10)
            }
            try await phone.portal.resume()
            #expect(try await phone.everything() == before)
            #expect(phone.portal.account().session().state == .active)
        }
    }

    /// A phone with records that are locked.
    private func locked(_ tell: (Handset, [String: [MessageView]]) async throws -> Void) async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let before = try await phone.everything()
            try await phone.portal.account().lock()
            try await tell(phone, before)
        }
    }
}
