import Foundation
import PortalCore
import Support
import Testing

@Suite("Signing up, in and out", .timeLimit(.minutes(5)))
struct SignInStories {
    @Test func register() async throws {
        try await story { practice, phone in
            try await phone.open()
            #expect(phone.portal.account().session().state == .signedOut)
            try await phone.portal.account().register(registration: Handset.registration(practice))
            #expect(phone.portal.account().session().state == .active)
            #expect(phone.portal.account().session().reason == nil)
        }
    }

    @Test func registerWithAWrongBirthDate() async throws {
        try await story { practice, phone in
            try await phone.open()
            let account = phone.portal.account()
            var registration = Handset.registration(practice)
            registration.dateOfBirth = "1990-02-27"
            await refused(.Refused(reason: .registrationRefused, field: nil)) {
                try await account.register(registration: registration)
            }
            #expect(account.session().state == .signedOut)
            await refused(.SignedOut(reason: .notSignedIn)) { _ = try await phone.portal.home().view() }
            registration.dateOfBirth = "1990-02-28"
            try await account.register(registration: registration)
            #expect(account.session().state == .active)
        }
    }

    @Test func registerWithABadPassword() async throws {
        try await story { practice, phone in
            try await phone.open()
            let account = phone.portal.account()
            var registration = Handset.registration(practice)
            registration.password = "short"
            let error = try await thrown { try await account.register(registration: registration) }
            #expect(error.reason == .passwordTooShort)
            guard case .Refused = error else { throw Failure("\(error)") }
            #expect(account.session().state == .signedOut)
            registration.password = Who.renee.password
            try await account.register(registration: registration)
            #expect(account.session().state == .active)
        }
    }

    @Test func signIn() async throws {
        try await story { practice, phone in
            try await phone.open()
            try await phone.signIn(.jordan, at: practice)
            #expect(phone.portal.account().session().state == .active)
            #expect(!phone.portal.account().session().signInPending)
            try await phone.settle()
            #expect(try await phone.portal.home().view().me.name.contains("Whitaker"))
        }
    }

    @Test func signInWithAStrayRedirect() async throws {
        try await story { practice, phone in
            try await phone.open()
            let account = phone.portal.account()
            let other = try await account.signInBegin()
            let stray = try await practice.browse(other, as: .jordan)
            let page = try await account.signInBegin()
            await refused(.Refused(reason: .stateMismatch, field: nil)) {
                try await account.signInFinish(redirect: stray)
            }
            #expect(account.session().signInPending)
            #expect(account.session().state == .signedOut)
            try await account.signInFinish(redirect: practice.browse(page, as: .jordan))
            #expect(account.session().state == .active)
        }
    }

    @Test func signInDenied() async throws {
        try await story { practice, phone in
            try await phone.open()
            let account = phone.portal.account()
            let page = try await account.signInBegin()
            #expect(account.session().signInPending)
            // The page has no button to cancel; asked for what it does not do, it sends an error back.
            let asked = page.replacingOccurrences(of: "response_type=code", with: "response_type=token")
            let redirect = try await practice.location(of: asked)
            #expect(redirect.contains("error="))
            await refused(.Refused(reason: .signInDenied, field: nil)) {
                try await account.signInFinish(redirect: redirect)
            }
            #expect(!account.session().signInPending)
            #expect(account.session().state == .signedOut)
            await refused(.Refused(reason: .noPendingSignIn, field: nil)) {
                try await account.signInFinish(redirect: redirect)
            }
        }
    }

    @Test func signOut() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let person = try found(phone.people.first)
            #expect(phone.people.count == 1)
            #expect(try phone.vault.count == 2)
            try await phone.portal.account().signOut(unsent: .keep)
            #expect(phone.portal.account().session().state == .signedOut)
            await refused(.SignedOut(reason: .notSignedIn)) { _ = try await phone.portal.home().view() }
            await refused(.SignedOut(reason: .notSignedIn)) {
                _ = try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 10)
            }
            #expect(phone.people.isEmpty)
            #expect(!FileManager.default.fileExists(atPath: phone.config.dataDir + "/users/" + person))
            #expect(try phone.vault.count == 1)
        }
    }

    @Test func signOutWithUnsentWork() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.cutOff()
            let message = try await phone.portal.messages().send(thread: thread, text: "Not yet sent.")
            await refused(.Refused(reason: .unsentWork, field: nil)) {
                try await phone.portal.account().signOut(unsent: .keep)
            }
            #expect(phone.portal.account().session().state == .active)
            #expect(try await phone.portal.outbox().entries().map(\.text) == ["Not yet sent."])
            try await phone.portal.account().signOut(unsent: .discard)
            #expect(phone.portal.account().session().state == .signedOut)
            #expect(phone.people.isEmpty)
            try await practice.faults()
            #expect(try await practice.effects(of: message) == 0)
        }
    }

    @Test func signOutOffline() async throws {
        try await story { practice, phone in
            try await phone.open()
            try await phone.signIn(.jordan, at: practice)
            try await phone.settle()
            practice.kill()
            let taken = try await ContinuousClock().measure { try await phone.portal.account().signOut(unsent: .keep) }
            #expect(taken < .seconds(5), "at once")
            #expect(phone.portal.account().session().state == .signedOut)
            #expect(phone.people.isEmpty)
            try practice.startAgain()
            try await phone.signIn(.jordan, at: practice)
            #expect(phone.portal.account().session().state == .active)
            try await phone.settle()
            #expect(try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 10).total > 0)
        }
    }

    @Test func twoPeopleOnOnePhone() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let firsts = try await phone.everything()
            let own = try found(firsts.values.joined().first { $0.mine }?.text)
            _ = try await phone.portal.messages().saveDraft(
                draft: Draft(
                    key: nil, thread: nil, recipient: nil, subject: "Mine", text: "A thought of the first one."))
            try await phone.portal.account().signOut(unsent: .discard)
            try await phone.signIn(.jordan, at: practice)
            try await phone.settle()
            let seconds = try await phone.everything()
            #expect(!seconds.isEmpty)
            #expect(Set(seconds.keys).isDisjoint(with: firsts.keys))
            #expect(try await phone.portal.messages().search(query: own, limit: 10).isEmpty)
            #expect(!seconds.values.joined().contains { $0.text == own })
            #expect(try await phone.portal.messages().drafts().isEmpty)
            #expect(try await phone.portal.home().view().me.name.contains("Whitaker"))
        }
    }

    @Test func accessRevoked() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            #expect(phone.people.count == 1)
            try await practice.staff("POST", "clients/\(practice.client())/revoke")
            await refused(.SignedOut(reason: .accessRevoked)) { _ = try await phone.portal.sync(deadlineMs: nil) }
            #expect(phone.portal.account().session().state == .signedOut)
            #expect(phone.portal.account().session().reason == .accessRevoked)
            await refused(.SignedOut(reason: .accessRevoked)) { _ = try await phone.portal.home().view() }
            #expect(phone.people.isEmpty)
            #expect(try phone.vault.count == 1)
        }
    }

    @Test func tokenRefusedOnce() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.reply(in: thread, "After the token was refused.")
            // With this seed the first request is refused and the thirty after it are not.
            let once = #"{"seed": 18, "error_401": 0.06}"#
            try await practice.faults(once)
            let codes = try await practice.probe(times: 5)
            #expect(codes == ["token_expired"] + Array(repeating: "token_unknown", count: 4))
            try await practice.faults(once)
            let report = try await phone.portal.sync(deadlineMs: nil)
            #expect(report.complete)
            #expect(phone.portal.account().session().state == .active)
            #expect(try await phone.newest(of: thread).last?.text == "After the token was refused.")
        }
    }
}
