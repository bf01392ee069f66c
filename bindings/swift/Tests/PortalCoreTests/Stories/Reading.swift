import Foundation
import PortalCore
import Support
import Testing

@Suite("Reading", .timeLimit(.minutes(5)))
struct ReadingStories {
    @Test func readPages() async throws {
        try await story(messages: 400) { practice, phone in
            try await phone.register(at: practice)
            let threads = try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 100).threads
            var longest: [UInt64] = []
            for thread in threads {
                var numbers: [UInt64] = []
                var before: UInt64?
                repeat {
                    let page = try await phone.portal.messages().thread(id: thread.id, before: before, limit: 7)
                    let these = try page.messages.map { try found($0.n) }
                    #expect(these.count == 7 || page.earlier == nil)
                    numbers = these + numbers
                    before = page.earlier
                } while before != nil
                #expect(numbers == Array(1...UInt64(numbers.count)))
                if numbers.count > longest.count { longest = numbers }
            }
            #expect(longest.count > 14, "at least one has more than two pages")
        }
    }

    @Test func unreadConversations() async throws {
        try await story(messages: 200) { practice, phone in
            let thread = try found(await practice.items("clients/\(practice.client())/threads").first)
            try await practice.reply(in: thread.id, "Unread for sure.")
            try await phone.register(at: practice)
            let all = try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 100).threads
            let expected = all.filter { $0.unread > 0 }
            #expect(!expected.isEmpty && expected.count < all.count)
            let page = try await phone.portal.messages().threads(filter: .unread, offset: 0, limit: 100)
            #expect(page.threads == expected)
            #expect(page.total == UInt32(expected.count))
            let sum = expected.map(\.unread).reduce(0, +)
            #expect(page.unread == sum)
            #expect(try await phone.portal.home().view().badge == sum)
        }
    }

    @Test func staffReply() async throws {
        try await story(messages: 100) { practice, phone in
            try await phone.register(at: practice)
            let list = try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 100).threads
            let last = try found(list.last { !$0.closed })
            #expect(list.first?.id != last.id)
            try await practice.reply(in: last.id, "I have time on Tuesday.")
            try await phone.settle()
            let first = try found(
                try await phone.portal.messages().threads(filter: .all, offset: 0, limit: 1).threads.first)
            #expect(first.id == last.id)
            #expect(first.unread == last.unread + 1)
            let message = try found(await phone.newest(of: last.id).last)
            #expect(message.text == "I have time on Tuesday.")
            #expect(message.state == .received(read: false))
            #expect(!message.mine)
        }
    }

    @Test func markRead() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.reply(in: thread, "Read me.")
            try await phone.settle()
            let badge = try await phone.portal.home().view().badge
            let unread = try await phone.portal.messages().thread(id: thread, before: nil, limit: 1).thread.unread
            #expect(unread > 0)
            let newest = try found(await phone.newest(of: thread).last?.n)
            try await practice.cutOff()
            try await phone.portal.messages().markRead(thread: thread, upto: newest)
            #expect(try await phone.portal.home().view().badge == badge - unread)
            try await practice.faults()
            try await phone.settle(patient: true)
            let there = try await practice.items("clients/\(practice.client())/threads")
            #expect(there.first { $0.id == thread }?.read_upto == "\(newest)")
        }
    }

    @Test func readMarksAcrossTwoInstalls() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            try await practice.reply(in: thread, "On both phones.")
            try await phone.settle()
            let folder = phone.folder.appendingPathComponent("second")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let second = try Handset(of: practice.facts, in: folder)
            try await second.open()
            try await second.signIn(.renee, at: practice)
            try await second.settle()
            let badge = try await second.portal.home().view().badge
            let unread = try await second.portal.messages().thread(id: thread, before: nil, limit: 1).thread.unread
            #expect(unread > 0)
            let newest = try found(await phone.newest(of: thread).last?.n)
            try await phone.portal.messages().markRead(thread: thread, upto: newest)
            try await phone.settle()
            try await second.settle()
            #expect(try await second.portal.messages().thread(id: thread, before: nil, limit: 1).thread.unread == 0)
            #expect(try await second.portal.home().view().badge == badge - unread)
            #expect(try await second.newest(of: thread).last?.state == .received(read: true))
        }
    }

    @Test func searchInThreeScripts() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            let latin = try await practice.reply(in: thread, "The café in Núñez street is open.")
            let cyrillic = try await practice.reply(in: thread, "Завтра зустріч о десятій.")
            let japanese = try await practice.reply(in: thread, "明日の予約は十時です。")
            try await phone.settle()
            func hits(_ query: String) async throws -> [String] {
                try await phone.portal.messages().search(query: query, limit: 100).map(\.message.id)
            }
            #expect(try await hits("café Núñez") == [latin])
            #expect(try await hits("cafe nunez") == [latin])
            #expect(try await hits("зустріч") == [cyrillic])
            #expect(try await hits("予約") == [japanese])
            #expect(try await hits("zebra crossing").isEmpty)
        }
    }

    @Test func print() async throws {
        try await story(messages: 60) { practice, phone in
            try await phone.register(at: practice)
            let all = try await phone.everything()
            let (thread, messages) = try found(all.max { $0.value.count < $1.value.count })
            let printed = try await phone.portal.messages().print(thread: thread)
            let shown = try await phone.portal.messages().thread(id: thread, before: nil, limit: 1).thread
            #expect(printed.title == shown.subject)
            for message in messages {
                for line in message.text.split(separator: "\n") {
                    #expect(printed.text.contains(line.trimmingCharacters(in: .whitespaces)))
                }
            }
            // One time for each message, each with its zone.
            #expect(printed.text.matches(of: /\d{1,2}:\d{2}[^\n]*(America\/New_York|E[SD]T)/).count >= messages.count)
        }
    }

    @Test func withdrawnConversation() async throws {
        try await story(messages: 100) { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            let before = try await phone.everything()
            try await practice.staff("POST", "threads/\(thread)/withdraw")
            try await phone.settle()
            let after = try await phone.everything()
            #expect(Set(after.keys) == Set(before.keys).subtracting([thread]))
            await refused(.NotFound(reason: .threadUnknown)) {
                _ = try await phone.portal.messages().thread(id: thread, before: nil, limit: 5)
            }
            let text = try found(before[thread]?.first?.text)
            let hits = try await phone.portal.messages().search(query: text, limit: 100)
            #expect(!hits.contains { $0.thread == thread })
        }
    }

    @Test func crisisCard() async throws {
        try await story { practice, phone in
            try await phone.open()
            // Signed out, and never reached the practice.
            #expect(phone.portal.home().crisisCard().lines.contains { $0.number == "988" })
            try await phone.portal.account().register(registration: Handset.registration(practice))
            try await phone.settle()
            practice.kill()
            try await phone.portal.account().lock()
            await refused(.Offline(reason: .noConnection)) { _ = try await phone.portal.account().signInBegin() }
            let locked = phone.portal.home().crisisCard()
            #expect(locked.lines.contains { $0.number == "988" })
            #expect(locked.practice == "Juniper Ridge Behavioral Health")
            #expect(!locked.phones.isEmpty)
            try await phone.portal.account().signOut(unsent: .discard)
            #expect(phone.portal.account().session().state == .signedOut)
            #expect(phone.portal.home().crisisCard().lines.contains { !$0.number.isEmpty })
        }
    }

    @Test func emojiAndRightToLeft() async throws {
        try await story { practice, phone in
            try await phone.register(at: practice)
            let thread = try await phone.conversation().id
            let text = "👩🏽‍⚕️ thanks 🙏🏿! مرحبا، كيف حالك؟ e\u{301}a\u{30a} שלום\u{200f} \u{2067}עברית\u{2069} 👨‍👩‍👧‍👦"
            let mine = try await phone.portal.messages().send(thread: thread, text: text)
            try await phone.settle()
            let theirs = try await practice.reply(in: thread, text)
            try await phone.settle()
            let letters = try await practice.letters(in: thread)
            // Compared as bytes: Swift takes different code points for the same character.
            #expect(letters.first { $0.id == mine }.map { Array($0.body.utf8) } == Array(text.utf8))
            for id in [mine, theirs] {
                let back = try await phone.newest(of: thread).first { $0.id == id }
                #expect(back.map { Array($0.text.utf8) } == Array(text.utf8))
            }
        }
    }
}
