// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading iptables-save text. Only what minibridge itself installs is understood; anything else is rejected with its
// position, so that a test that compares dumps can never pass over a difference.
#include <charconv>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/model/rule.h"
#include "src/model/rule_words.h"

namespace mb {
namespace {

struct Word {
  std::string text;
  std::size_t offset = 0;
};

// Splits a line at blanks; "…" keeps blanks together and takes \" \\ \' literally.
std::vector<Word> split_words(Scanner& scan) {
  std::vector<Word> words;
  while (true) {
    while (scan.accept(' ')) {
    }
    if (scan.done()) return words;
    Word word{{}, scan.offset()};
    const bool in_quotes = scan.accept('"');
    while (true) {
      if (scan.done()) {
        if (in_quotes) scan.fail("the quotes are not closed");
        break;
      }
      if (in_quotes ? scan.peek() == '"' : scan.peek() == ' ') break;
      if (in_quotes && scan.accept('\\') && scan.done()) scan.fail("the quotes are not closed");
      word.text += scan.peek();
      scan.accept(scan.peek());
    }
    if (in_quotes) scan.expect('"');
    words.push_back(std::move(word));
  }
}

class RuleParser {
 public:
  RuleParser(std::string_view line, Family family) : scan_("iptables rule", line), words_(split_words(scan_)) {
    result_.rule.family = family;
  }

  ChainedRule parse() {
    if (take().text != "-A") fail_here("expected -A");
    result_.chain = plain_word();
    while (at_ < words_.size()) parse_option();
    return result_;
  }

 private:
  const Word& take() {
    if (at_ == words_.size()) scan_.fail("something is missing");
    return words_[at_++];
  }
  [[noreturn]] void fail_here(std::string_view reason) const { scan_.fail_at(words_[at_ - 1].offset, reason); }

  // What iptables-save prints without quotes; with a blank or a quote in it the line could not be read back.
  const std::string& plain_word() {
    const auto& text = take().text;
    if (text.empty() || text.find_first_of(" \"") != std::string::npos) fail_here("expected a plain word");
    return text;
  }

  const Subnet& of_our_family(const Subnet& subnet) const {
    of_our_family(subnet.base());
    return subnet;
  }
  const IpAddress& of_our_family(const IpAddress& address) const {
    if (address.family() != result_.rule.family) fail_here("it is of the other address family");
    return address;
  }

  void parse_option() {
    bool negated = false;
    std::string option = take().text;
    if (option == "!") {
      negated = true;
      option = take().text;
    }
    Rule& rule = result_.rule;
    if (option == "-s") {
      rule.source = {of_our_family(Subnet::parse(take().text)), negated};
    } else if (option == "-d") {
      rule.destination = {of_our_family(Subnet::parse(take().text)), negated};
    } else if (option == "-i") {
      rule.in = {plain_word(), negated};
    } else if (option == "-o") {
      rule.out = {plain_word(), negated};
    } else if (option == "-p") {
      rule.protocol = {protocol_number(), negated};
    } else if (negated || (option != "-m" && option != "-j" && option != "-g")) {
      fail_here(fmt::format("unknown option '{}'", printable(option)));
    } else if (option == "-m") {
      rule.matches.push_back(parse_match());
    } else if (option == "-g") {
      rule.target = target::Goto{plain_word()};
    } else {
      rule.target = parse_target();
    }
  }

  std::uint8_t protocol_number() {
    const auto& word = take().text;
    if (const auto number = words::value_of(words::kProtocols, word)) return *number;
    return static_cast<std::uint8_t>(decimal(word, "a protocol", 255));
  }

  std::uint32_t decimal(const std::string& text, std::string_view name, std::uint32_t highest) const {
    Scanner number("number", text);
    const auto value = number.number(name, 0, highest);
    number.expect_end();
    return value;
  }

  Match parse_match() {
    const auto name = take().text;
    if (name == "tcp") return parse_ports(Protocol::tcp);
    if (name == "udp") return parse_ports(Protocol::udp);
    if (name == "sctp") return parse_ports(Protocol::sctp);
    if (name == "addrtype") {
      match::AddrType match;
      while (const auto negated = next_is("--src-type", "--dst-type")) {
        auto& side = words_[at_ - 1].text == "--src-type" ? match.source : match.destination;
        const auto type = words::value_of(words::kAddressTypes, take().text);
        if (!type) fail_here("unknown address type");
        side = {*type, *negated};
      }
      return match;
    }
    if (name == "devgroup") {
      match::DevGroup match;
      while (const auto negated = next_is("--src-group", "--dst-group")) {
        auto& side = words_[at_ - 1].text == "--src-group" ? match.source : match.destination;
        side = {group_number(), *negated};
      }
      return match;
    }
    if (name == "conntrack") return parse_conntrack();
    const bool v6 = result_.rule.family == Family::v6;
    if (name == (v6 ? "icmp6" : "icmp")) {
      const std::string option = v6 ? "--icmpv6-type" : "--icmp-type";
      if (take().text != option) fail_here("expected " + option);
      return match::IcmpType{static_cast<std::uint8_t>(decimal(take().text, "an ICMP type", 255))};
    }
    if (name == "comment") {
      if (take().text != "--comment") fail_here("expected --comment");
      return match::Comment{take().text};
    }
    fail_here(fmt::format("unknown match '{}'", printable(name)));
  }

  // If the next words are [!] one of the two options: consumes them and tells whether it was negated.
  std::optional<bool> next_is(std::string_view first, std::string_view second) {
    const bool negated = at_ < words_.size() && words_[at_].text == "!";
    const std::size_t option = at_ + (negated ? 1 : 0);
    if (option >= words_.size() || (words_[option].text != first && words_[option].text != second)) return std::nullopt;
    at_ = option + 1;
    return negated;
  }

  PortRange port_range() {
    Scanner scan("port range", take().text);
    PortRange range;
    range.first = static_cast<std::uint16_t>(scan.number("a port", 0, 65535));
    range.last = scan.accept(':') ? static_cast<std::uint16_t>(scan.number("a port", 0, 65535)) : range.first;
    if (range.last < range.first) scan.fail_at(0, "the range is reversed");
    scan.expect_end();
    return range;
  }

  Match parse_ports(Protocol protocol) {
    match::Ports match{protocol, {}, {}};
    while (const auto negated = next_is("--sport", "--dport")) {
      auto& side = words_[at_ - 1].text == "--sport" ? match.source : match.destination;
      side = {port_range(), *negated};
    }
    return match;
  }

  std::uint32_t group_number() {
    const auto& text = take().text;
    std::uint32_t value = 0;
    const bool hex = text.starts_with("0x");
    const char* begin = text.data() + (hex ? 2 : 0);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, value, hex ? 16 : 10);
    if (error != std::errc() || stop != end) fail_here("expected a group number");
    return value;
  }

  Match parse_conntrack() {
    match::ConnTrack match;
    if (take().text == "!") {
      match.negated = true;
      take();
    }
    if (words_[at_ - 1].text != "--ctstate") fail_here("expected --ctstate");
    const std::string list = take().text;
    for (const auto word : split(list, ',')) {
      const auto state = words::value_of(words::kConnStates, word);
      if (!state) fail_here("unknown connection state");
      match.states = static_cast<std::uint16_t>(match.states | *state);
    }
    return match;
  }

  Target parse_target() {
    const auto name = plain_word();
    if (name == "ACCEPT") return target::Accept{};
    if (name == "DROP") return target::Drop{};
    if (name == "RETURN") return target::Return{};
    if (name == "MASQUERADE") return target::Masquerade{};
    if (name == "SNAT") {
      if (take().text != "--to-source") fail_here("expected --to-source");
      return target::Snat{of_our_family(IpAddress::parse(take().text))};
    }
    if (name == "DNAT") {
      if (take().text != "--to-destination") fail_here("expected --to-destination");
      const auto dnat = parse_dnat(take().text);
      of_our_family(dnat.address);
      return dnat;
    }
    return target::Jump{name};
  }

  static target::Dnat parse_dnat(const std::string& text) {
    Scanner scan("DNAT destination", text);
    target::Dnat dnat;
    if (scan.accept('[')) {
      dnat.address = IpAddress::parse(scan.until("]"));
      scan.expect(']');
    } else {
      const bool v6 = text.find(':') != text.rfind(':');
      dnat.address = IpAddress::parse(v6 ? scan.until("") : scan.until(":"));
    }
    if (scan.accept(':')) {
      PortRange range;
      range.first = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
      range.last = scan.accept('-') ? static_cast<std::uint16_t>(scan.number("a port", 1, 65535)) : range.first;
      if (range.last < range.first) scan.fail_at(0, "the range is reversed");
      dnat.ports = range;
      if (scan.accept('/')) dnat.base = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
    }
    scan.expect_end();
    return dnat;
  }

  Scanner scan_;
  std::vector<Word> words_;
  std::size_t at_ = 0;
  ChainedRule result_;
};

std::optional<Table> table_named(std::string_view name) {
  for (const auto table : {Table::raw, Table::mangle, Table::nat, Table::filter, Table::security}) {
    if (to_string(table) == name) return table;
  }
  return std::nullopt;
}

// "[12:3456] -A …" (iptables-save -c) without the counters.
std::string_view without_counters(std::string_view line) {
  if (!line.starts_with('[')) return line;
  const auto end = line.find("] ");
  return end == std::string_view::npos ? line : line.substr(end + 2);
}

// Whether the line is a rule of a chain of ours, or a jump to one: iptables-save prints the target last, and what
// looks like it inside a comment is followed by a quote.
bool concerns(std::string_view line, std::string_view own_prefix) {
  if (line.starts_with(fmt::format("-A {}", own_prefix))) return true;
  const auto jump = line.rfind(" -j ");
  if (jump == std::string_view::npos) return false;
  const auto target = line.substr(jump + 4);
  return target.starts_with(own_prefix) && target.find_first_of(" \"") == std::string_view::npos;
}

}  // namespace

ChainedRule parse_rule(std::string_view line, Family family) { return RuleParser(line, family).parse(); }

Ruleset parse_dump(std::string_view text, Family family, std::string_view own_prefix) {
  Ruleset result;
  TableRules* table = nullptr;
  for (const auto raw_line : split(text, '\n')) {
    const auto line = without_counters(raw_line);
    if (line.empty() || line.starts_with('#')) continue;
    const Scanner scan("line of an iptables dump", line);
    if (line.starts_with('*')) {
      const auto known = table_named(line.substr(1));
      if (!known) scan.fail_at(1, "unknown table");
      table = &result[{family, *known}];
    } else if (line == "COMMIT") {
      table = nullptr;
    } else if (table == nullptr) {
      scan.fail_at(0, "it stands outside a table");
    } else if (line.starts_with(':')) {
      const auto chain = line.substr(1, line.find(' ') - 1);
      if (chain.starts_with(own_prefix)) table->chains[std::string(chain)];
    } else if (concerns(line, own_prefix)) {
      auto [chain, rule] = parse_rule(line, family);
      auto& chains = chain.starts_with(own_prefix) ? table->chains : table->hooks;
      chains[chain].push_back(std::move(rule));
    } else if (!line.starts_with("-A ")) {
      scan.fail_at(0, "expected a table, a chain, a rule or COMMIT");
    }
  }
  std::erase_if(result, [](const auto& entry) { return entry.second.empty(); });
  return result;
}

}  // namespace mb
