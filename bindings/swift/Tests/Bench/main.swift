// What carrying a call, a page and a long list to Swift costs, against functions of the same library
// that have no core behind them: `bindings/swift/test --bench`.
import Foundation
import PortalCore
import Support

/// One figure: the median of pairs that alternate, so that a busy moment of the machine meets both.
func compare(
    _ name: String, repeats: Int, ours: () async throws -> Void, floor: () async throws -> Void
) async throws {
    func microseconds(_ work: () async throws -> Void) async throws -> Double {
        let taken = try await ContinuousClock().measure {
            for _ in 0..<repeats { try await work() }
        }
        let (seconds, attoseconds) = taken.components
        return (Double(seconds) * 1e6 + Double(attoseconds) / 1e12) / Double(repeats)
    }
    _ = try await (microseconds(ours), microseconds(floor))
    var pairs: [(ours: Double, floor: Double)] = []
    for n in 0..<11 {
        if n.isMultiple(of: 2) {
            let first = try await microseconds(ours)
            pairs.append((first, try await microseconds(floor)))
        } else {
            let first = try await microseconds(floor)
            pairs.append((try await microseconds(ours), first))
        }
    }
    let mine = pairs.map(\.ours).sorted(), low = pairs.map(\.floor).sorted()
    let (median, base) = (mine[mine.count / 2], low[low.count / 2])
    // The figure says little when the floor itself varied by more than half.
    let noisy = low[low.count - 1] - low[0] > base / 2 ? " noisy" : ""
    func text(_ value: Double) -> String { String(format: "%.1f", value) }
    let ratio = String(format: "%.2f", median / base)
    print("bench ffi-swift/\(name) ours=\(text(median))us floor=\(text(base))us ratio=\(ratio)\(noisy)")
}

func bench() async throws {
    try await untimed(messages: 2_000) { practice, phone in
        try await phone.register(at: practice)
        let messages = phone.portal.messages(), outbox = phone.portal.outbox()
        let threads = try await messages.threads(filter: .all, offset: 0, limit: 100).threads.filter { !$0.closed }
        var page = try await messages.thread(id: found(threads.first).id, before: nil, limit: 50)
        for thread in threads where page.messages.count < 50 {
            page = try await messages.thread(id: thread.id, before: nil, limit: 50)
        }
        guard page.messages.count == 50 else { throw Failure("no conversation has 50 messages") }
        let id = page.thread.id

        floorKeep(page: page, list: [])
        try await compare(
            "call", repeats: 2_000, ours: { _ = try await messages.drafts() }, floor: { try await floorCall() })
        try await compare(
            "page", repeats: 200, ours: { _ = try await messages.thread(id: id, before: nil, limit: 50) },
            floor: { _ = try await floorPage() })

        practice.kill()
        for n in 0..<1_000 { _ = try await messages.send(thread: id, text: "Written offline, number \(n).") }
        let list = try await outbox.entries()
        guard list.count == 1_000 else { throw Failure("\(list.count) entries wait, not 1,000") }
        floorKeep(page: page, list: list)
        try await compare(
            "list", repeats: 10, ours: { _ = try await outbox.entries() }, floor: { _ = try await floorList() })
    }
}

try await bench()
