// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/snapshot.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

#include "tests/support/world.h"

namespace mb::test {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// In a dump a table holds something when it has a rule, a chain of a user ("-" for a policy) or a
// policy that somebody changed. A table that was merely touched stays in the dump for good.
bool matters(const std::string& line) {
  if (line.empty() || line[0] == '#' || line[0] == '*' || line == "COMMIT") return false;
  return line[0] != ':' || line.find(" ACCEPT ") == std::string::npos;
}

std::string without_policy_counters(const std::string& line) {
  return line[0] == ':' ? line.substr(0, line.find(" [")) : line;
}

// Bridge timers run, lifetimes shrink, a new IPv6 address is tentative for a moment.
std::string without_volatile(const std::string& text) {
  static const std::regex kVolatile(
      "( +[a-z_]+_timer +[0-9.]+)|( tentative| optimistic)|( expires [0-9]+sec)"
      "|( +valid_lft .*)");
  return std::regex_replace(text, kVolatile, "");
}

// A link's own fe80:: address is its own only when no neighbour has objected. A bridge of ours gets its fe80:: address some time after it is up, and its multicast route a new place in the list
// when it comes up again: the kernel's affair.
std::string without_late_routes(const std::string& text) {
  static const std::regex kLate(R"((fe80::|ff00::/8).* dev (br-|minibridge|mb)|^local fe80::)");
  std::string kept;
  for (const auto& line : lines_of(text)) {
    if (!std::regex_search(line, kLate)) kept += line + "\n";
  }
  return kept;
}

bool changes_by_itself(const std::string& path) {
  static const std::vector<std::string> kVolatile{"netfilter/nf_conntrack_count", "ipv4/tcp_fastopen_key"};
  return std::any_of(kVolatile.begin(), kVolatile.end(), [&](const std::string& suffix) {
    return path.size() >= suffix.size() && path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0;
  });
}

// Which keys exist is a fact as well, so one that cannot be read (write-only, or a secret that was
// never set) is listed without a value.
std::string sysctls() {
  namespace fs = std::filesystem;
  std::vector<std::string> lines;
  const auto options = fs::directory_options::skip_permission_denied;
  for (const auto& entry : fs::recursive_directory_iterator("/proc/sys/net", options)) {
    if (!entry.is_regular_file() || changes_by_itself(entry.path())) continue;
    std::ostringstream value;
    value << std::ifstream(entry.path()).rdbuf();
    const std::string text = value.str();
    const auto shown = text.substr(0, text.find_last_not_of('\n') + 1);
    lines.push_back(entry.path().string().substr(10) + " = " + shown + "\n");
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& line : lines) text += line;
  return text;
}

}  // namespace

void settle_carriers() {
  const std::string links = "ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/link show dev \\1/'";
  for (int pass = 0; pass < 2; ++pass) must(links + " | ip -force -batch - >/dev/null 2>&1 || true");
}

std::string normalise_rules(const std::string& dump, const SnapshotOptions& options) {
  std::string text;
  std::string table;
  bool holds_something = false;
  for (const auto& line : lines_of(dump)) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '*') {
      table.clear();
      holds_something = false;
    }
    holds_something = holds_something || matters(line);
    table += (options.policy_counters ? line : without_policy_counters(line)) + "\n";
    if (line == "COMMIT" && holds_something) text += table;
  }
  return text;
}

std::string snapshot_host(const SnapshotOptions& options) {
  std::string text;
  settle_carriers();
  const auto section = [&](const std::string& title, const std::string& body) { text += "## " + title + "\n" + body; };
  for (const std::string command : {"iptables-legacy-save -c", "ip6tables-legacy-save -c"}) {
    section(command, normalise_rules(must(command), options));
  }
  for (const std::string command : {"ip -d link", "ip address", "ip -4 route show table all",
                                    "ip -6 route show table all", "ip -4 rule", "ip -6 rule"}) {
    section(command, without_late_routes(without_volatile(must(command))));
  }
  section("sysctl", sysctls());
  return text;
}

}  // namespace mb::test
