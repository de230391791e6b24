// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/look_at_node.h"

#include <vector>

#include "src/base/text.h"

namespace mb::lab {
namespace {

// ":INPUT ACCEPT [12:3456]" without its counters.
std::string without_counters(std::string_view line) {
  const auto bracket = line.find(" [");
  return std::string(line.substr(0, bracket));
}

bool is_default_chain(std::string_view line) {
  const std::string chain = without_counters(line);
  return line.starts_with(':') && chain.ends_with(" ACCEPT");
}

// The kernel gives link-local addresses by itself, a while after a link came up, and marks an address as tentative until it
// has looked for duplicates.
bool comes_by_itself(std::string_view line) { return line.find("fe80:") != std::string_view::npos; }

std::string without_progress(std::string_view line) {
  constexpr std::string_view kTentative = " tentative";
  const auto at = line.find(kTentative);
  if (at == std::string_view::npos) return std::string(line);
  return std::string(line.substr(0, at)) + std::string(line.substr(at + kTentative.size()));
}

// A table of iptables-save, from "*filter" to before "COMMIT".
class TableLines {
 public:
  void begin(std::string_view line) { lines_ = {std::string(line)}; }
  bool is_open() const { return !lines_.empty(); }

  void add(std::string_view line) {
    if (!is_default_chain(line)) holds_something_ = true;
    lines_.push_back(line.starts_with(':') ? without_counters(line) : std::string(line));
  }

  // What is to be kept of it.
  std::vector<std::string> end() {
    auto kept = holds_something_ ? std::move(lines_) : std::vector<std::string>();
    lines_.clear();
    holds_something_ = false;
    return kept;
  }

 private:
  std::vector<std::string> lines_;
  bool holds_something_ = false;
};

}  // namespace

std::string_view look_command() {
  return "for save in iptables-legacy-save ip6tables-legacy-save; do echo \"[$save]\"; $save; done; "
         "echo '[nft]'; nft -s list ruleset 2>/dev/null; "
         "echo '[addresses]'; ip -o address; "
         "echo '[routes]'; ip route show table all; ip -6 route show table all; "
         "echo '[routing rules]'; ip rule; ip -6 rule; "
         "echo '[sysctl]'; grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/route_localnet";
}

std::string comparable(std::string_view printed) {
  std::vector<std::string> kept;
  TableLines table;
  for (const auto line : split(printed, '\n')) {
    if (line.empty() || line.starts_with('#') || comes_by_itself(line)) continue;
    if (line.starts_with('*')) {
      table.begin(line);
    } else if (line == "COMMIT") {
      for (auto& each : table.end()) kept.push_back(std::move(each));
    } else if (table.is_open()) {
      table.add(line);
    } else {
      kept.push_back(without_progress(line));
    }
  }
  return join(kept, "\n");
}

}  // namespace mb::lab
