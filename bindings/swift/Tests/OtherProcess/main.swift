// What tests do in a process of its own, because it is killed or because the library panics in it.
import Foundation
import PortalCore
import Support

let arguments = CommandLine.arguments

/// Everything is told in lines, at once: whoever reads them may kill us after any.
func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

func facts() throws -> PracticeProgram.Facts {
    try JSONDecoder().decode(PracticeProgram.Facts.self, from: Data(contentsOf: URL(fileURLWithPath: arguments[3])))
}

switch arguments[1] {
case "write":
    // FOLDER FACTS THREAD TEXT: writes a message and waits for the end.
    let phone = try Handset(of: facts(), in: URL(fileURLWithPath: arguments[2]))
    try await phone.open()
    try await phone.portal.account().unlock()
    let id = try await phone.portal.messages().send(thread: arguments[4], text: arguments[5])
    say("written \(id)")
    try await Task.sleep(for: .seconds(3600))
case "panic":
    // FOLDER FACTS: calls verbs at one of whose moments the library panics, then reads.
    let phone = try Handset(of: facts(), in: URL(fileURLWithPath: arguments[2]))
    try await panics(phone)
case "threads":
    // FOLDER FACTS: what a first sync costs the thread that asks for it, and the whole process.
    let phone = try Handset(of: facts(), in: URL(fileURLWithPath: arguments[2]))
    try await callersThread(phone)
case "cycles":
    // FOLDER FACTS COUNT: opens and drops a portal so often, and unlocks it every tenth time.
    let phone = try Handset(of: facts(), in: URL(fileURLWithPath: arguments[2]))
    try await cycles(phone, Int(arguments[4]) ?? 0)
default:
    say("OtherProcess is for the tests")
    _exit(2)
}

/// Tells what each verb throws, and whether the portal works afterwards.
func panics(_ phone: Handset) async throws {
    try await phone.open()
    func attempt(_ verb: String, _ work: () async throws -> Void) async {
        do {
            try await work()
            say("\(verb) ok")
        } catch let error as PortalError {
            say("\(verb) threw \(error) / \(error.localizedDescription)")
        } catch {
            say("\(verb) threw something else: \(type(of: error)) \(error) / \(error.localizedDescription)")
        }
    }
    let portal = phone.portal!
    await attempt("unlock") { try await portal.account().unlock() }
    await attempt("send") { _ = try await portal.messages().send(thread: arguments[4], text: "Text of a person.") }
    await attempt("draft") {
        _ = try await portal.messages().saveDraft(
            draft: Draft(key: nil, thread: arguments[4], recipient: nil, subject: "", text: "Text of a person."))
    }
    await attempt("start") {
        _ = try await portal.messages().start(
            thread: NewThread(recipient: .route(route: "biller"), subject: "?", text: "Text of a person.", draft: nil))
    }
    await attempt("mark") { try await portal.messages().markRead(thread: arguments[4], upto: 1_000_000) }
    await attempt("change") {
        for entry in try await portal.outbox().entries() where entry.change.possible {
            try await portal.outbox().edit(id: entry.id, text: "Another text of a person.")
        }
    }
    await attempt("sync") { try await portal.sync(within: .seconds(20)) }
    await attempt("suspend") { try await portal.suspend() }
    await attempt("resume") { try await portal.resume() }
    await attempt("lock") { try await portal.account().lock() }
    await attempt("again") { try await portal.account().unlock() }
    await attempt("read") { _ = try await portal.messages().thread(id: arguments[4], before: nil, limit: 5) }
    say("state \(portal.account().session().state)")
}

/// Tells what the process holds after half of the cycles and at the end.
func cycles(_ phone: Handset, _ count: Int) async throws {
    func look(_ when: String) throws {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8).split(separator: "\n")
        func number(_ field: String) -> Int {
            let line = status.first { $0.hasPrefix(field + ":") }
            return line.flatMap { Int($0.filter(\.isNumber)) } ?? -1
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        say("\(when) files=\(files) threads=\(number("Threads")) memory=\(number("VmRSS"))")
    }
    let begun = ContinuousClock.now
    for n in 1...count {
        let portal = try await Portal.open(config: phone.config, vault: phone.vault)
        let listener = portal.changes()
        _ = portal.account().session()
        if n.isMultiple(of: 10) {
            try await portal.account().unlock()
            _ = try await portal.home().view()
        }
        listener.stop()
        if n == count / 2 { try look("warm") }
    }
    try look("end")
    say("took \(ContinuousClock.now - begun)")
}

/// A first sync and fifty writes, asked for on a thread that does nothing else.
func callersThread(_ phone: Handset) async throws {
    #if os(Linux)
        @Sendable func used(_ clock: clockid_t) -> Double {
            var time = timespec()
            clock_gettime(clock, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        }
        let thread = OneThread()
        try await withTaskExecutorPreference(thread) {
            try await phone.open()
            let mine = thread.measure { used(CLOCK_THREAD_CPUTIME_ID) }, all = used(CLOCK_PROCESS_CPUTIME_ID)
            let registration = Registration(
                invitationLink: try facts().invitation, lastName: "O'Connor-Núñez", dateOfBirth: "1990-02-28",
                password: Who.renee.password)
            try await phone.portal.account().register(registration: registration)
            try await phone.settle()
            let conversation = try await phone.conversation().id
            for n in 0..<50 { _ = try await phone.portal.messages().send(thread: conversation, text: "Number \(n)") }
            try await phone.settle()
            let caller = thread.measure { used(CLOCK_THREAD_CPUTIME_ID) } - mine
            say("caller=\(caller) all=\(used(CLOCK_PROCESS_CPUTIME_ID) - all) own=\(thread.isCurrent)")
        }
    #else
        say("only on Linux")
    #endif
}

#if os(Linux)
    /// Runs tasks on one thread of its own, to the end of the process.
    final class OneThread: TaskExecutor, @unchecked Sendable {
        private let condition = NSCondition()
        private var jobs: [UnownedJob] = []
        private var thread: Thread!

        init() {
            thread = Thread { [self] in
                while true { next().runSynchronously(on: asUnownedTaskExecutor()) }
            }
            thread.start()
        }

        var isCurrent: Bool { Thread.current === thread }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            condition.lock()
            jobs.append(job)
            condition.signal()
            condition.unlock()
        }

        private func next() -> UnownedJob {
            condition.lock()
            defer { condition.unlock() }
            while jobs.isEmpty { condition.wait() }
            return jobs.removeFirst()
        }

        /// What `read` says on that thread.
        func measure<T>(_ read: () -> T) -> T {
            precondition(isCurrent)
            return read()
        }
    }
#endif

// At once, with the files as they are: the core's threads still run.
_exit(0)
