// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/scenario_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <regex>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "src/base/text.h"

namespace mb::lab {
namespace {

constexpr int kLargestErrno = 133;  // EHWPOISON, the last one of Linux

// ---- small words

Position position_of(const Value& value) { return {value.line()}; }

Texts read_texts(const Value& value) {
  const Mapping map(value, "a text", {"en", "zh"});
  Texts texts{map.required("en").text(), map.required("zh").text()};
  if (texts.en.empty() || texts.zh.empty()) value.fail("a text must not be empty");
  return texts;
}

Texts read_texts(const Mapping& map, std::string_view key) {
  const Value* value = map.optional(key);
  return value == nullptr ? Texts{} : read_texts(*value);
}

std::vector<std::string> read_list(const Value* value) {
  std::vector<std::string> texts;
  if (value == nullptr) return texts;
  for (const Value& item : value->one_or_more()) texts.push_back(item.text());
  return texts;
}

PortPattern parse_port_pattern(Scanner& scan) {
  if (scan.accept('*')) return {};
  if (scan.accept("same")) return {PortPattern::same};
  if (scan.accept("other")) return {PortPattern::other};
  return {PortPattern::number, static_cast<std::uint16_t>(scan.number("a port, '*', 'same' or 'other'", 1, 65535))};
}

// An address with an optional port in the form both families use.
struct AddressAndPort {
  IpAddress address;
  std::uint16_t port = 0;  // 0: none given
};

constexpr std::string_view kTargetForm = "ADDRESS:PORT, an IPv6 address in brackets";

AddressAndPort parse_address_and_port(std::string_view text) {
  Scanner scan("address", text, kTargetForm);
  const bool bare_v6 = !text.starts_with('[') && std::count(text.begin(), text.end(), ':') > 1;
  if (bare_v6) return {IpAddress::parse(text)};
  AddressAndPort found;
  if (scan.accept('[')) {
    found.address = IpAddress::parse(scan.until("]"));
    scan.expect(']');
  } else {
    found.address = IpAddress::parse(scan.until(":"));
  }
  if (scan.accept(':')) found.port = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
  scan.expect_end();
  return found;
}

IcmpPattern parse_icmp_pattern(std::string_view text) {
  Scanner scan("kind of ICMP message", text, "TYPE/CODE or TYPE, two numbers: 3/13");
  IcmpPattern pattern{static_cast<std::uint8_t>(scan.number("a type", 0, 255)), {}};
  if (scan.accept('/')) pattern.code = static_cast<std::uint8_t>(scan.number("a code", 0, 255));
  scan.expect_end();
  return pattern;
}

Outcome outcome_of(int error_number) { return {Outcome::error, error_number}; }

OriginalPattern read_original(const Value& value) {
  const auto looks_like_errno = [](const std::string& text) { return text.starts_with('E'); };
  if (value.is_text() && !looks_like_errno(value.text())) return {value.as(parse_address_pattern)};
  std::vector<int> numbers;
  for (const Value& item : value.one_or_more()) numbers.push_back(item.as(parse_errno));
  return {numbers};
}

Amount read_amount(const Value& value) {
  constexpr std::int64_t kMost = 1'000'000'000;
  if (!value.is_map()) return {static_cast<std::uint64_t>(value.integer(0, kMost)), false};
  const Mapping map(value, "a number of packets", {"at_least"});
  return {static_cast<std::uint64_t>(map.required("at_least").integer(1, kMost)), true};
}

void compile_all(const std::vector<Value>& expressions) {
  for (const Value& expression : expressions) {
    try {
      const std::regex compiled(expression.text());
    } catch (const std::regex_error&) {
      expression.fail(fmt::format("'{}' is not a regular expression", printable(expression.text())));
    }
  }
}

TextPattern read_text_pattern(const Value* value) {
  TextPattern pattern;
  if (value == nullptr) return pattern;
  if (value->is_text()) {
    pattern.contains.push_back(value->text());
    return pattern;
  }
  const Mapping map(*value, "what a command prints", {"equals", "contains", "lacks", "matches"});
  if (const Value* equals = map.optional("equals")) pattern.equals = equals->text();
  pattern.contains = read_list(map.optional("contains"));
  pattern.lacks = read_list(map.optional("lacks"));
  pattern.matches = read_list(map.optional("matches"));
  if (const Value* matches = map.optional("matches")) compile_all(matches->one_or_more());
  if (pattern.empty()) value->fail("nothing is said here about what is printed", "equals, contains, lacks or matches");
  return pattern;
}

// ---- the parts of a scenario

class Reader {
 public:
  Reader(const Value& file, const std::string& name, const TopologyLoader& load) : file_(file), load_(load) {
    scenario_.name = name;
    scenario_.file = file.file();
  }

  Scenario read() {
    const Mapping map(file_, "a scenario", {"title", "summary", "topology", "services", "steps"});
    scenario_.title = read_texts(map.required("title"));
    scenario_.summary = read_texts(map.required("summary"));
    scenario_.topology = read_topology(map.required("topology"));
    if (const Value* services = map.optional("services")) add_services(*services);
    for (const Value& step : map.required("steps").items()) scenario_.steps.push_back(read_step(step));
    if (scenario_.steps.empty()) file_.fail("a scenario needs steps");
    return std::move(scenario_);
  }

 private:
  Topology read_topology(const Value& value) const {
    if (!value.is_map()) return value.as([&](std::string_view name) { return load_(std::string(name)); });
    Topology topology = parse_topology(value, scenario_.name);
    topology.source = to_document(value);  // a lab that stays up is known by its text
    return topology;
  }

  void add_services(const Value& services) {
    for (const Entry& entry : services.entries()) {
      const std::string name = read_node(entry.key);
      const auto node = std::find_if(scenario_.topology.nodes.begin(), scenario_.topology.nodes.end(),
                                     [&](const Node& each) { return each.name.str() == name; });
      node->services.push_back({"scenario", read_listen(entry.value), {}, entry.key.where()});
    }
  }

  static std::vector<Listen> read_listen(const Value& value) {
    std::vector<Listen> listen;
    for (const Value& item : value.one_or_more()) listen.push_back(item.as(parse_listen));
    if (listen.empty()) value.fail("a test server needs a port");
    return listen;
  }

  std::string read_node(const Value& value) const {
    const std::string& name = value.text();
    if (scenario_.topology.find(name) != nullptr) return name;
    const auto names = scenario_.topology.node_names();
    const std::string near = nearest(name, names);
    value.fail(
        fmt::format("there is no node '{}' in topology '{}'", printable(name), scenario_.topology.name),
        near.empty() ? fmt::format("its nodes: {}", join(names, ", ")) : fmt::format("did you mean '{}'?", near));
  }

  void check_node(const Value& value, std::string_view name) const {
    if (scenario_.topology.find(name) != nullptr) return;
    const auto names = scenario_.topology.node_names();
    value.fail(fmt::format("there is no node '{}' in topology '{}'", printable(name), scenario_.topology.name),
               fmt::format("its nodes: {}", join(names, ", ")));
  }

  Place read_place(const Value& value) const {
    const auto parts = split(value.text(), '/');
    const bool well_formed = parts.size() <= 2 && std::none_of(parts.begin(), parts.end(),
                                                               [](std::string_view part) { return part.empty(); });
    if (!well_formed) value.fail(fmt::format("'{}' is not a place", printable(value.text())), "NODE or NODE/NAMESPACE");
    check_node(value, parts[0]);
    return {std::string(parts[0]), parts.size() == 2 ? std::string(parts[1]) : std::string()};
  }

  InterfacePlace read_interface(const Value& value) const {
    const auto parts = split(value.text(), '/');
    const bool well_formed =
        (parts.size() == 2 || parts.size() == 3) &&
        std::none_of(parts.begin(), parts.end(), [](std::string_view part) { return part.empty(); });
    if (!well_formed) {
      value.fail(fmt::format("'{}' is not an interface", printable(value.text())),
                 "NODE/INTERFACE or NODE/NAMESPACE/INTERFACE");
    }
    check_node(value, parts[0]);
    const std::string interface = value.as([&](std::string_view) { return InterfaceName::parse(parts.back()).str(); });
    return {{std::string(parts[0]), parts.size() == 3 ? std::string(parts[1]) : std::string()}, interface};
  }

  // ---- commands

  Command read_command(const Mapping& map) const {
    Command command;
    command.position = position_of(map.value());
    command.node = read_node(map.required("node"));
    command.command = map.required("command").text();
    if (command.command.empty()) map.required("command").fail("the command is empty");
    if (const Value* status = map.optional("status")) {
      command.status =
          status->text() == "failure" ? std::nullopt : std::optional<int>(static_cast<int>(status->integer(0, 255)));
    }
    command.out = read_text_pattern(map.optional("stdout"));
    command.err = read_text_pattern(map.optional("stderr"));
    return command;
  }

  Command read_changing_command(const Value& value) const {
    const Mapping map(value, "a command", {"node", "command", "status", "stdout", "stderr", "mutate", "harmless"});
    Command command = read_command(map);
    if (const Value* mutate = map.optional("mutate")) command.mutate = mutate->text();
    if (const Value* harmless = map.optional("harmless")) command.harmless = harmless->text();
    if (command.mutate && command.harmless) value.fail("'mutate' and 'harmless' exclude each other");
    return command;
  }

  Command read_looking_command(const Value& value) const {
    const Mapping map(value, "a command that looks", {"node", "command", "status", "stdout", "stderr"});
    return read_command(map);
  }

  std::vector<Command> read_commands(const Value* value) const {
    std::vector<Command> commands;
    if (value == nullptr) return commands;
    for (const Value& item : value->items()) commands.push_back(read_changing_command(item));
    return commands;
  }

  // ---- requests

  Expectation read_expectation(const Value& value) const {
    const auto& entries = value.entries();
    const auto has = [&](std::string_view key) {
      return std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.key.text() == key; });
    };
    if (has("command")) return read_looking_command(value);
    if (has("from")) return read_request(value);
    value.fail("an expectation is a request or a command", "a request begins with 'from', a command has 'command'");
  }

  Request read_request(const Value& value) const {
    const Mapping map(value, "a request",
                      {"from",      "to",       "proto",     "source", "payload",   "repeat",  "hold",
                       "mark",      "uid",      "flags",     "icmp",   "outcome",   "seen",    "wire",
                       "last_seen", "counters", "conntrack", "log",    "log_order", "journey", "note"});
    Request request;
    request.position = position_of(value);
    request.from = read_place(map.required("from"));
    read_target(map, request);
    read_source(map, request);
    read_manner(map, request);
    request.outcome = map.required("outcome").as(parse_outcome);
    read_observations(map, request);
    request.note = read_texts(map, "note");
    check_consistent(value, request);
    return request;
  }

  static void read_target(const Mapping& map, Request& request) {
    if (const Value* protocol = map.optional("proto")) request.protocol = read_protocol(*protocol);
    const Value& to = map.required("to");
    const AddressAndPort target = to.as(parse_address_and_port);
    request.to = target.address;
    request.to_port = target.port;
    const bool has_ports = request.protocol != RequestProtocol::icmp;
    if (has_ports && target.port == 0)
      to.fail(fmt::format("'{}' has no port", printable(to.text())), std::string(kTargetForm));
    if (!has_ports && target.port != 0) to.fail("icmp has no ports");
  }

  static RequestProtocol read_protocol(const Value& value) {
    for (const auto protocol : {RequestProtocol::tcp, RequestProtocol::udp, RequestProtocol::icmp}) {
      if (value.text() == to_string(protocol)) return protocol;
    }
    value.fail(fmt::format("'{}' is not a protocol of a request", printable(value.text())), "tcp, udp or icmp");
  }

  static void read_source(const Mapping& map, Request& request) {
    const Value* source = map.optional("source");
    if (source == nullptr) return;
    if (source->text().starts_with(':')) {
      request.source_port = source->as([](std::string_view text) {
        Scanner scan("source", text, "ADDRESS, ADDRESS:PORT or :PORT");
        scan.expect(':');
        const auto port = scan.number("a port", 1, 65535);
        scan.expect_end();
        return static_cast<std::uint16_t>(port);
      });
      return;
    }
    const AddressAndPort from = source->as(parse_address_and_port);
    if (from.address.family() != request.to.family()) source->fail("source and target are of different families");
    request.source = from.address;
    request.source_port = from.port;
  }

  static void read_manner(const Mapping& map, Request& request) {
    constexpr std::int64_t kMost32 = 0xffffffff;
    if (const Value* payload = map.optional("payload")) request.payload = payload->text();
    if (const Value* repeat = map.optional("repeat")) request.repeat = static_cast<int>(repeat->integer(1, 1000));
    if (const Value* hold = map.optional("hold")) request.hold = hold->boolean();
    if (const Value* mark = map.optional("mark")) request.mark = static_cast<std::uint32_t>(mark->integer(1, kMost32));
    if (const Value* uid = map.optional("uid")) request.uid = static_cast<std::uint32_t>(uid->integer(0, 65535));
    if (const Value* flags = map.optional("flags")) request.tcp_flags = read_flags(*flags);
    if (const Value* icmp = map.optional("icmp")) request.timestamp = read_icmp(*icmp);
    if (const Value* journey = map.optional("journey")) request.journey = journey->boolean();
  }

  static std::uint8_t read_flags(const Value& value) {
    unsigned flags = 0;
    for (const Value& item : value.items()) {
      const auto found = std::find(kTcpFlagNames.begin(), kTcpFlagNames.end(), item.text());
      if (found == kTcpFlagNames.end()) {
        item.fail(fmt::format("'{}' is not a TCP flag", printable(item.text())), "fin, syn, rst, psh, ack or urg");
      }
      flags |= 1U << (found - kTcpFlagNames.begin());
    }
    return static_cast<std::uint8_t>(flags);
  }

  static bool read_icmp(const Value& value) {
    if (value.text() == "timestamp") return true;
    if (value.text() == "echo") return false;
    value.fail(fmt::format("'{}' is not an ICMP request", printable(value.text())), "echo or timestamp");
  }

  // ---- what is observed of a request

  void read_observations(const Mapping& map, Request& request) const {
    if (const Value* seen = map.optional("seen")) request.seen = read_seen(*seen);
    each(map, "wire", [&](const Value& item) { request.wire.push_back(read_wire(item)); });
    each(map, "counters", [&](const Value& item) { request.counters.push_back(read_counter(item)); });
    each(map, "conntrack", [&](const Value& item) { request.conntrack.push_back(read_conntrack(item)); });
    each(map, "log", [&](const Value& item) { request.log.push_back(read_log(item)); });
    each(map, "log_order", [&](const Value& item) { request.log_order.push_back(read_log_order(item)); });
    if (const Value* last = map.optional("last_seen")) request.last_seen = read_last_seen(*last);
  }

  template <class Take>
  static void each(const Mapping& map, std::string_view key, Take take) {
    const Value* list = map.optional(key);
    if (list == nullptr) return;
    for (const Value& item : list->items()) take(item);
  }

  static std::optional<AddressPattern> read_address(const Mapping& map, std::string_view key) {
    const Value* value = map.optional(key);
    if (value == nullptr) return std::nullopt;
    return value->as(parse_address_pattern);
  }

  static SeenPattern read_seen(const Value& value) {
    const Mapping map(value, "what the server saw", {"source", "dest", "original"});
    SeenPattern seen{read_address(map, "source"), read_address(map, "dest"), std::nullopt};
    if (const Value* original = map.optional("original")) seen.original = read_original(*original);
    if (seen.empty()) value.fail("nothing is said here about what the server saw");
    return seen;
  }

  void read_packet(const Mapping& map, WirePattern& packet) const {
    packet.position = position_of(map.value());
    packet.at = read_interface(map.required("at"));
    packet.direction = read_direction(map.required("direction"));
    packet.source = read_address(map, "source");
    packet.dest = read_address(map, "dest");
    if (const Value* flags = map.optional("flags")) packet.tcp_flags = read_flags(*flags);
    if (const Value* icmp = map.optional("icmp")) packet.icmp = icmp->as(parse_icmp_pattern);
    if (packet.tcp_flags && packet.icmp) map.value().fail("a packet of ICMP has no flags");
  }

  static Direction read_direction(const Value& value) {
    if (value.text() == "in") return Direction::in;
    if (value.text() == "out") return Direction::out;
    value.fail(fmt::format("'{}' is not a direction", printable(value.text())), "in or out, as the node sees it");
  }

  WirePattern read_wire(const Value& value) const {
    const Mapping map(value, "a packet on the wire", {"at", "direction", "source", "dest", "flags", "icmp", "absent"});
    WirePattern packet;
    read_packet(map, packet);
    if (const Value* absent = map.optional("absent")) packet.absent = absent->boolean();
    return packet;
  }

  LastSeenPattern read_last_seen(const Value& value) const {
    const Mapping map(value, "the last sighting", {"at", "direction", "source", "dest", "flags", "icmp", "of"});
    LastSeenPattern last;
    read_packet(map, last.packet);
    if (const Value* of = map.optional("of")) {
      if (of->text() != "request" && of->text() != "reply") of->fail("'of' is request or reply");
      last.reply = of->text() == "reply";
    }
    return last;
  }

  // The beginning of what is looked up in one node.
  template <class Pattern>
  Pattern in_node(const Value& value, const Mapping& map) const {
    Pattern pattern;
    pattern.position = position_of(value);
    pattern.node = read_node(map.required("node"));
    return pattern;
  }

  CounterPattern read_counter(const Value& value) const {
    const Mapping map(value, "a counter", {"node", "family", "table", "chain", "rule", "packets"});
    auto counter = in_node<CounterPattern>(value, map);
    if (const Value* family = map.optional("family")) counter.family = read_family(*family);
    if (const Value* table = map.optional("table")) counter.table = read_table(*table);
    counter.chain = map.required("chain").text();
    const Value& rule = map.required("rule");
    counter.rule = rule.text() == "policy" ? 0 : static_cast<int>(rule.integer(1, 100'000));
    counter.packets = read_amount(map.required("packets"));
    return counter;
  }

  static Family read_family(const Value& value) {
    if (value.text() == "ipv4") return Family::v4;
    if (value.text() == "ipv6") return Family::v6;
    value.fail(fmt::format("'{}' is not an address family", printable(value.text())), "ipv4 or ipv6");
  }

  static std::string read_table(const Value& value) {
    static constexpr std::array<std::string_view, 5> kTables = {"filter", "nat", "mangle", "raw", "security"};
    if (std::find(kTables.begin(), kTables.end(), value.text()) != kTables.end()) return value.text();
    value.fail(fmt::format("there is no table '{}'", printable(value.text())), "filter, nat, mangle, raw or security");
  }

  static TuplePattern read_tuple(const Value* value) {
    if (value == nullptr) return {};
    const Mapping map(*value, "a direction of an entry", {"source", "dest"});
    return {read_address(map, "source"), read_address(map, "dest")};
  }

  ConntrackPattern read_conntrack(const Value& value) const {
    const Mapping map(value, "a conntrack entry", {"node", "original", "reply", "absent"});
    auto entry = in_node<ConntrackPattern>(value, map);
    entry.original = read_tuple(map.optional("original"));
    entry.reply = read_tuple(map.optional("reply"));
    if (const Value* absent = map.optional("absent")) entry.absent = absent->boolean();
    return entry;
  }

  LogPattern read_log(const Value& value) const {
    const Mapping map(value, "a logged packet", {"node", "group", "prefix", "source", "dest", "packets"});
    auto log = in_node<LogPattern>(value, map);
    log.group = static_cast<std::uint16_t>(map.required("group").integer(0, 65535));
    if (const Value* prefix = map.optional("prefix")) log.prefix = prefix->text();
    log.source = read_address(map, "source");
    log.dest = read_address(map, "dest");
    if (const Value* packets = map.optional("packets")) log.packets = read_amount(*packets);
    return log;
  }

  LogOrderPattern read_log_order(const Value& value) const {
    const Mapping map(value, "an order of logged packets", {"node", "group", "prefixes"});
    return {position_of(value), read_node(map.required("node")),
            static_cast<std::uint16_t>(map.required("group").integer(0, 65535)), read_list(&map.required("prefixes"))};
  }

  // Words that exclude each other.
  static void check_consistent(const Value& value, const Request& request) {
    const bool tcp = request.protocol == RequestProtocol::tcp;
    if (request.hold && (!tcp || request.tcp_flags)) value.fail("only a tcp connection can be held");
    if (request.tcp_flags && !tcp) value.fail("only tcp has flags");
    if (request.timestamp && request.protocol != RequestProtocol::icmp) value.fail("'icmp' is for proto: icmp");
    if (request.timestamp && request.to.family() == Family::v6) value.fail("ICMPv6 has no timestamp request");
    const bool answers = request.outcome.kind == Outcome::reached;
    if (!request.seen.empty() && !answers) value.fail("'seen' is about an answer, but the outcome is another");
    if (!request.seen.empty() && request.protocol == RequestProtocol::icmp) value.fail("'seen' is not for icmp");
    if (request.hold && !answers) value.fail("only what is reached can be held");
    if (request.tcp_flags && request.to.family() == Family::v6) value.fail("a single packet is sent over IPv4 only");
    if (tcp && !request.tcp_flags && request.outcome.kind == Outcome::dropped) check_repeats(value, request);
  }

  // On a slow machine a second passes while the world is looked at, and TCP sends its first packet again.
  static void check_repeats(const Value& value, const Request& request) {
    const auto is_exact = [](const auto& each) { return each.packets.packets > 0 && !each.packets.at_least; };
    if (std::any_of(request.counters.begin(), request.counters.end(), is_exact) ||
        std::any_of(request.log.begin(), request.log.end(), is_exact)) {
      value.fail("tcp sends again what was dropped, so it cannot be counted exactly", "packets: {at_least: 1}");
    }
  }

  // ---- steps

  Step read_step(const Value& value) const {
    const Mapping map(value, "a step", {"want", "needs", "run", "serve", "expect", "pairs", "why", "claim", "undo"});
    Step step;
    step.position = position_of(value);
    step.want = read_texts(map.required("want"));
    each(map, "needs", [&](const Value& item) { step.needs.push_back(read_need(item)); });
    step.run = read_commands(map.optional("run"));
    each(map, "serve", [&](const Value& item) { step.serve.push_back(read_serve(item)); });
    each(map, "expect", [&](const Value& item) { step.expect.push_back(read_expectation(item)); });
    step.why = read_texts(map, "why");
    if (const Value* claim = map.optional("claim")) step.claim = read_claim(*claim);
    each(map, "pairs", [&](const Value& item) { step.pairs.push_back(read_pair(item)); });
    if (!step.pairs.empty()) check_pairs(map.required("pairs"), step);
    step.undo = read_commands(map.optional("undo"));
    if (step.run.empty() && step.expect.empty()) value.fail("a step needs 'run' or 'expect'");
    if (step.claim && step.expect.empty()) value.fail("a claim is refuted by expectations; this step has none");
    return step;
  }

  static Need read_need(const Value& value) {
    for (const Need need : {Need::ids, Need::br_netfilter, Need::kernel_log}) {
      if (value.text() == to_string(need)) return need;
    }
    value.fail(fmt::format("'{}' is nothing that a step can need", printable(value.text())),
               "ids, br_netfilter or kernel_log");
  }

  Serve read_serve(const Value& value) const {
    const Mapping map(value, "a test server", {"at", "listen"});
    return {position_of(value), read_place(map.required("at")), read_listen(map.required("listen"))};
  }

  static Claim read_claim(const Value& value) {
    const Mapping map(value, "a claim", {"says", "truth"});
    return {read_texts(map.required("says")), read_texts(map.required("truth"))};
  }

  static Pair read_pair(const Value& value) {
    const Mapping map(value, "a pair", {"by_hand", "minibridge"});
    Pair pair{read_list(map.optional("by_hand")), read_list(map.optional("minibridge"))};
    if (pair.by_hand.empty() && pair.minibridge.empty()) value.fail("this pair is empty");
    return pair;
  }

  // Every line that a check of this step demands exactly.
  static std::set<std::string> lines_demanded(const Step& step) {
    std::set<std::string> lines;
    for (const auto& expectation : step.expect) {
      const auto* command = std::get_if<Command>(&expectation);
      if (command == nullptr || !command->out.equals) continue;
      for (const auto line : split(*command->out.equals, '\n')) {
        if (!line.empty()) lines.emplace(line);
      }
    }
    return lines;
  }

  // The table shows what was really printed, and all of it.
  static void check_pairs(const Value& value, const Step& step) {
    const auto demanded = lines_demanded(step);
    auto missing = demanded;
    for (std::size_t i = 0; i < step.pairs.size(); ++i) {
      for (const auto* side : {&step.pairs[i].by_hand, &step.pairs[i].minibridge}) {
        for (const auto& line : *side) {
          if (!demanded.contains(line)) {
            value.items()[i].fail(fmt::format("no check of this step demands the line '{}'", printable(line)));
          }
          missing.erase(line);
        }
      }
    }
    if (!missing.empty()) value.fail(fmt::format("the line '{}' stands in no pair", printable(*missing.begin())));
  }

  const Value& file_;
  const TopologyLoader& load_;
  Scenario scenario_;
};

}  // namespace

Scenario parse_scenario(const Value& file, const std::string& name, const TopologyLoader& load) {
  return Reader(file, name, load).read();
}

AddressPattern parse_address_pattern(std::string_view text) {
  Scanner scan("address to compare with", text, "ADDRESS:PORT, ADDRESS or *; the port may be *, same or other");
  if (scan.accept('*')) {
    AddressPattern pattern;
    if (scan.accept(':')) pattern.port = parse_port_pattern(scan);
    scan.expect_end();
    return pattern;
  }
  const bool bare_v6 = !text.starts_with('[') && std::count(text.begin(), text.end(), ':') > 1;
  if (bare_v6) return {IpAddress::parse(text), {}};
  AddressPattern pattern;
  if (scan.accept('[')) {
    pattern.address = IpAddress::parse(scan.until("]"));
    scan.expect(']');
  } else {
    pattern.address = IpAddress::parse(scan.until(":"));
  }
  if (scan.accept(':')) pattern.port = parse_port_pattern(scan);
  scan.expect_end();
  return pattern;
}

int parse_errno(std::string_view name) {
  for (int number = 1; number <= kLargestErrno; ++number) {
    if (errno_name(number) == name) return number;
  }
  throw Error(ErrorKind::usage, fmt::format("'{}' is not the name of an errno", printable(name)),
              "ENOENT, ECONNREFUSED … (errno(3))");
}

Outcome parse_outcome(std::string_view text) {
  if (text == "reached") return {Outcome::reached};
  if (text == "dropped") return {Outcome::dropped};
  if (text == "refused") return outcome_of(ECONNREFUSED);
  if (text.starts_with('E')) return outcome_of(parse_errno(text));
  throw Error(ErrorKind::usage, fmt::format("'{}' is not an outcome", printable(text)),
              "reached, refused, dropped or the name of an errno");
}

}  // namespace mb::lab
