// SPDX-License-Identifier: GPL-2.0-or-later
//
// A scenario as a value: a world, steps with real commands in it, and what must be observed after each.
//
// docs/scenario-format.md explains every word. These types say what a file may say and nothing about how it is run; a reader makes
// them (scenario_reader.h), the runner and the pages are made from them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/lab/topology.h"
#include "src/model/address.h"

namespace mb::lab {

enum class Language : std::uint8_t { en, zh };

// One text in the author's own words, in both languages.
struct Texts {
  std::string en;
  std::string zh;

  const std::string& in(Language language) const { return language == Language::zh ? zh : en; }
  bool empty() const { return en.empty(); }
};

// The line of the file, for messages about what went wrong there.
struct Position {
  int line = 0;
};

// A node, or a network namespace that `ip netns` shows inside it.
struct Place {
  std::string node;
  std::string netns;  // empty: the node itself

  std::string str() const { return netns.empty() ? node : node + "/" + netns; }
  auto operator<=>(const Place&) const = default;
};

struct InterfacePlace {
  Place place;
  std::string interface;

  std::string str() const { return place.str() + "/" + interface; }
  auto operator<=>(const InterfacePlace&) const = default;
};

// ---- what is compared with what was seen

struct PortPattern {
  enum Kind : std::uint8_t { any, number, same, other };  // same, other: as the port the client sent from
  Kind kind = any;
  std::uint16_t value = 0;
};

// "10.0.2.15:80", "10.0.2.15:same", "10.0.2.15", "*:80", "*".
struct AddressPattern {
  std::optional<IpAddress> address;
  PortPattern port;

  std::string str() const;
};

// A number of packets.
struct Amount {
  std::uint64_t packets = 1;
  bool at_least = false;
};

// What a command printed.
struct TextPattern {
  std::optional<std::string> equals;
  std::vector<std::string> contains;
  std::vector<std::string> lacks;
  std::vector<std::string> matches;  // ECMAScript

  bool empty() const { return !equals && contains.empty() && lacks.empty() && matches.empty(); }
};

// ---- commands

struct Command {
  Position position;
  std::string node;
  std::string command;
  std::optional<int> status = 0;  // none: any but 0
  TextPattern out;
  TextPattern err;
  std::optional<std::string> mutate;    // the self-test runs this instead of leaving the command out
  std::optional<std::string> harmless;  // why the self-test passes over it
  bool left_out = false;                // by the self-test: it is not run
};

// ---- requests

enum class RequestProtocol : std::uint8_t { tcp, udp, icmp };
std::string_view to_string(RequestProtocol protocol);

enum class Direction : std::uint8_t { in, out };
std::string_view to_string(Direction direction);

struct Outcome {
  enum Kind : std::uint8_t { reached, dropped, error };
  Kind kind = reached;
  int error_number = 0;  // of an error

  std::string str() const;  // "reached", "dropped", "refused", "EPERM" …
  bool operator==(const Outcome&) const = default;
};

// The original destination that the server reports: an address, or one of these errno values.
struct OriginalPattern {
  std::variant<AddressPattern, std::vector<int>> is;
};

struct SeenPattern {
  std::optional<AddressPattern> source;
  std::optional<AddressPattern> dest;
  std::optional<OriginalPattern> original;

  bool empty() const { return !source && !dest && !original; }
};

// The kind of an ICMP message, as iptables writes it: "3/13", or "3" with any code.
struct IcmpPattern {
  std::uint8_t type = 0;
  std::optional<std::uint8_t> code;

  std::string str() const;
};

// The six flags of TCP in the order of their bits (RFC 9293, section 3.1).
inline constexpr std::array<std::string_view, 6> kTcpFlagNames = {"fin", "syn", "rst", "psh", "ack", "urg"};
std::string tcp_flags_text(std::uint8_t flags);  // "rst ack"; "no flags"

struct WirePattern {
  Position position;
  InterfacePlace at;
  Direction direction = Direction::in;
  std::optional<AddressPattern> source;
  std::optional<AddressPattern> dest;
  bool absent = false;
  std::optional<std::uint8_t> tcp_flags{};  // exactly these
  std::optional<IcmpPattern> icmp{};
};

struct LastSeenPattern {
  WirePattern packet;
  bool reply = false;  // the answer's last sighting instead of the request's
};

struct CounterPattern {
  Position position;
  std::string node;
  Family family = Family::v4;
  std::string table = "filter";
  std::string chain;
  int rule = 0;  // from 1; 0: the policy
  Amount packets;
};

struct TuplePattern {
  std::optional<AddressPattern> source;
  std::optional<AddressPattern> dest;
};

struct ConntrackPattern {
  Position position;
  std::string node;
  TuplePattern original;
  TuplePattern reply;
  bool absent = false;
};

struct LogPattern {
  Position position;
  std::string node;
  std::uint16_t group = 0;
  std::string prefix;
  std::optional<AddressPattern> source;
  std::optional<AddressPattern> dest;
  Amount packets{1, true};
};

// Everything that was logged in a group, in this order.
struct LogOrderPattern {
  Position position;
  std::string node;
  std::uint16_t group = 0;
  std::vector<std::string> prefixes;
};

struct Request {
  Position position;
  Place from;
  IpAddress to;
  std::uint16_t to_port = 0;  // 0 for icmp
  RequestProtocol protocol = RequestProtocol::tcp;
  std::optional<IpAddress> source;
  std::uint16_t source_port = 0;  // 0: the kernel chooses
  std::string payload;            // empty: what the runner likes
  int repeat = 1;
  bool hold = false;
  std::uint32_t mark = 0;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint8_t> tcp_flags;  // one packet with these flags instead of a connection
  bool timestamp = false;                 // an ICMP timestamp request instead of an echo request

  Outcome outcome;
  SeenPattern seen;
  std::vector<WirePattern> wire;
  std::optional<LastSeenPattern> last_seen;
  std::vector<CounterPattern> counters;
  std::vector<ConntrackPattern> conntrack;
  std::vector<LogPattern> log;
  std::vector<LogOrderPattern> log_order;
  bool journey = false;
  Texts note;

  std::string target() const;  // "192.168.57.3:1234", "[fd00::1]:80", "10.0.2.2"
};

// ---- the whole

struct Serve {
  Position position;
  Place at;
  std::vector<Listen> listen;
};

// "The article says …; in truth …"
struct Claim {
  Texts says;
  Texts truth;
};

// What was made by hand, and what minibridge makes in its place, line by line; either side may be empty.
struct Pair {
  std::vector<std::string> by_hand;
  std::vector<std::string> minibridge;
};

enum class Need : std::uint8_t {
  ids,           // more than one user id
  br_netfilter,  // iptables can be shown bridged frames
  kernel_log,    // dmesg works in the lab
};
std::string_view to_string(Need need);

using Expectation = std::variant<Request, Command>;

struct Step {
  Position position;
  Texts want;
  std::vector<Need> needs;
  std::vector<Command> run;
  std::vector<Serve> serve;
  std::vector<Expectation> expect;
  Texts why;
  std::optional<Claim> claim;
  std::vector<Pair> pairs;
  std::vector<Command> undo;
};

struct Scenario {
  std::string name;  // the file's, without folder and ".yaml"
  std::string file;
  Texts title;
  Texts summary;
  Topology topology;  // with the scenario's own services
  std::vector<Step> steps;
};

// The command that starts such a test server: "minibridge echo --listen 80".
std::string echo_command(const std::vector<Listen>& listen);

}  // namespace mb::lab
