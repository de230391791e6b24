// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fault_host.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <sstream>
#include <stdexcept>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "src/engine/session.h"
#include "src/plan/desired.h"
#include "tests/support/snapshot.h"

namespace mb::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLinkDirectory = "/run/netns";

// Ids, link names and the like: any will do that nobody has had yet.
std::string fresh(int digits) {
  static std::uint64_t count = 0xa000;
  return fmt::format("{:0{}x}", ++count, digits);
}

std::string new_directory() {
  char name[] = "/run/fault-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw std::runtime_error("cannot create a directory");
  return name;
}

// What an operator may have: a policy, chains, and rules before and after ours, all with counters.
void add_foreign_rules() {
  must(
      "iptables-legacy-restore -c <<'END'\n"
      "*filter\n:INPUT ACCEPT [11:1100]\n:FORWARD DROP [5:500]\n:OUTPUT ACCEPT [0:0]\n:theirs - [0:0]\n"
      "[7:700] -A FORWARD -s 203.0.113.0/24 -j theirs\n[3:300] -A theirs -p tcp -m tcp --dport 25 -j REJECT\nCOMMIT\n"
      "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [9:900]\n"
      "[2:200] -A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22\n"
      "[4:400] -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE\nCOMMIT\nEND");
}

std::string rows(SQLite::Database& db, const std::string& sql) {
  std::string text;
  SQLite::Statement query(db, sql);
  while (query.executeStep()) {
    for (int i = 0; i < query.getColumnCount(); ++i) text += query.getColumn(i).getString() + " | ";
    text += "\n";
  }
  return text;
}

std::string dump(const std::string& state_dir, const std::vector<std::string>& queries) {
  const std::string path = state_dir + "/state.db";
  if (!fs::exists(path)) return {};
  SQLite::Database db(path, SQLite::OPEN_READWRITE);
  std::string text;
  for (const auto& sql : queries) text += rows(db, sql);
  return text;
}

const std::vector<std::string> kWishes = {
    "SELECT 'network', document FROM networks ORDER BY id",
    "SELECT 'container', document FROM containers ORDER BY id",
    "SELECT 'endpoint', network, container FROM endpoints ORDER BY network, container",
    "SELECT 'held', network, hex(address), container FROM leases WHERE container != '' ORDER BY network, address",
    "SELECT 'port', protocol, first, last, hex(host_address), container FROM host_ports ORDER BY protocol, first",
    "SELECT 'sysctl', name, document FROM sysctls ORDER BY name"};

std::string files_below(const std::string& directory) {
  std::vector<std::string> lines;
  std::error_code absent;
  for (const auto& entry : fs::recursive_directory_iterator(directory, absent)) {
    const std::string path = entry.path();
    // Directories for whatever comes are no trace of what did not come.
    if (path.find("/state.db") == std::string::npos && path != directory + "/netns" &&
        path != directory + "/containers")
      lines.push_back(path);
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(directory, absent)) names.push_back(entry.path().filename());
  return names;
}

// What the state knows, in the words in which it shows in the kernel.
struct Owners {
  std::set<std::string> links;
  std::set<std::string> rules;  // beginnings of comments
  std::set<std::string> pins;
  std::set<std::string> symlinks;
  std::set<std::string> directories;
};

Owners owners_in(const std::string& state_dir) {
  engine::Setup setup;
  setup.state_dir = state_dir;
  setup.draw_state_id = [] { return "00000000"; };
  const auto state = engine::open_state(setup);
  Owners owners;
  for (const auto& network : state->networks()) {
    owners.links.insert(network.bridge.str());
    owners.rules.insert("network " + network.name.str());
  }
  for (const auto& container : state->containers()) {
    if (container.kind != ContainerKind::foreign_netns) owners.directories.insert(container.id);
    if (!container.wants_network()) continue;
    owners.rules.insert(container.name.str());
    owners.pins.insert(container.id);
    owners.symlinks.insert("mb-" + container.name.str());
    for (const auto& endpoint : container.endpoints) owners.links.insert(endpoint.host_link.str());
  }
  return owners;
}

void list_unowned(std::string& text, const char* what, const std::vector<std::string>& present,
                  const std::set<std::string>& owned) {
  for (const auto& name : present) {
    if (!owned.contains(name)) text += fmt::format("{} '{}' has no owner\n", what, name);
  }
}

// Links with a group number of ours, be they up or not: name and group are on one line of `ip -o link`.
std::vector<std::string> our_links() {
  std::vector<std::string> names;
  std::istringstream lines(must("ip -o link"));
  static const std::regex kLink(R"(^\d+: ([^:@]+)[@:].* group (\S+) )");
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_search(line, found, kLink) && found[2] != "default") names.push_back(found[1]);
  }
  return names;
}

// "minibridge web: …" belongs to container web, "minibridge network n1: …" to network n1, "minibridge: …" to all of us.
std::vector<std::string> owners_of_rules() {
  std::vector<std::string> names;
  std::istringstream lines(must("iptables-legacy-save"));
  static const std::regex kComment(R"(--comment "?minibridge ([^:"]+):)");
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_search(line, found, kComment)) names.push_back(found[1]);
  }
  return names;
}

}  // namespace

std::string dump_state(const std::string& state_dir) {
  auto queries = kWishes;
  queries.emplace_back(
      "SELECT 'rests', network, hex(address), released FROM leases WHERE container = '' ORDER BY network, address");
  const bool marked = std::filesystem::exists(state_dir + "/unfinished");
  return (marked ? "marker\n" : "") + dump(state_dir, queries);
}

std::string look_at_host() { return snapshot_host({.policy_counters = false}); }

std::string dump_wishes(const std::string& state_dir) { return dump(state_dir, kWishes); }

std::string find_orphans(const std::string& state_dir) {
  const auto owners = owners_in(state_dir);
  std::string text;
  list_unowned(text, "link", our_links(), owners.links);
  list_unowned(text, "rule of", owners_of_rules(), owners.rules);
  list_unowned(text, "pinned namespace", names_in(state_dir + "/netns"), owners.pins);
  auto symlinks = names_in(kLinkDirectory);
  std::erase_if(symlinks, [&](const std::string& name) { return !name.starts_with("mb-"); });
  list_unowned(text, "symlink", symlinks, owners.symlinks);
  list_unowned(text, "directory", names_in(state_dir + "/containers"), owners.directories);
  return text;
}

namespace {

change::EndpointRequest endpoint_in(const std::string& network) {
  change::EndpointRequest request;
  request.network = network;
  request.host_link = InterfaceName::parse("mb" + fresh(12));
  return request;
}

}  // namespace

change::AddNetwork network(const std::string& name, const std::string& subnet, const std::string& subnet6) {
  change::AddNetwork add;
  add.id = fresh(12);
  add.name = Name::parse(name);
  add.bridge = InterfaceName::parse("br-" + name);
  add.v4.subnet = Subnet::parse(subnet);
  if (!subnet6.empty()) add.v6.emplace().subnet = Subnet::parse(subnet6);
  return add;
}

change::AddContainer container(const std::string& name, const std::vector<std::string>& networks,
                               const std::vector<std::string>& publish) {
  change::AddContainer add;
  add.container.id = fresh(12);
  add.container.name = Name::parse(name);
  add.container.kind = ContainerKind::netns;
  add.container.hostname = name;
  for (const auto& spec : publish) add.container.publish.push_back(PublishSpec::parse(spec));
  for (const auto& network : networks) {
    add.endpoints.push_back(endpoint_in(network));
  }
  return add;
}

change::Connect connection(const std::string& name, const std::string& to) {
  change::Connect connect;
  connect.container = name;
  connect.endpoint = endpoint_in(to);
  return connect;
}

FaultHost::FaultHost() : state_dir_(new_directory() + "/state"), engine_(setup()) { add_foreign_rules(); }

engine::Setup FaultHost::setup() {
  engine::Setup setup;
  setup.state_dir = state_dir_;
  setup.link_dir = kLinkDirectory;
  setup.make_kernel = Faults::into(faults_);
  setup.is_alive = [this](const Id& id) { return alive_.contains(id); };
  setup.now = [] { return std::int64_t{1'700'000'000}; };
  setup.draw_state_id = [] { return "3fa2c19b"; };
  return setup;
}

FaultHost::~FaultHost() {
  // Pins are mounts of the whole test machine: they would outlast this host.
  for (const auto& name : names_in(state_dir_ + "/netns")) sh("umount -l " + state_dir_ + "/netns/" + name);
  sh("umount -l " + state_dir_ + "/netns");
  sh("rm -rf " + fs::path(state_dir_).parent_path().string() + " /run/netns/mb-*");
}

std::string FaultHost::new_namespace() {
  namespaces_.push_back(netns::Namespace::create());
  return fmt::format("/proc/{}/fd/{}", ::getpid(), namespaces_.back().fd());
}

change::AddContainer FaultHost::process(const std::string& name, const std::vector<std::string>& networks,
                                        const std::vector<std::string>& publish) {
  auto add = container(name, networks, publish);
  add.container.kind = ContainerKind::process;
  add.container.status = ContainerStatus::running;
  add.container.process.argv = {"true"};
  add.container.supervisor_pid = ::getpid();
  add.container.init_pid = ::getpid();
  add.container.namespace_source = new_namespace();
  alive_.insert(add.container.id);
  return add;
}

change::StartContainer FaultHost::start(const Id& id) {
  change::StartContainer start;
  start.container = id;
  start.supervisor_pid = ::getpid();
  start.init_pid = ::getpid();
  start.namespace_source = new_namespace();
  alive_.insert(id);
  return start;
}

void FaultHost::set_foreign_policies() const {
  must(
      "iptables-legacy-restore --noflush -c <<'END'\n*filter\n:INPUT ACCEPT [11:1100]\n:FORWARD DROP [5:500]\nCOMMIT\n"
      "*nat\n:POSTROUTING ACCEPT [9:900]\nCOMMIT\nEND");
}

std::string FaultHost::look() const {
  return look_at_host() + "## iptables-legacy-save -c\n" + normalise_rules(must("iptables-legacy-save -c")) +
         "## files\n" + files_below(state_dir_) + files_below(kLinkDirectory);
}

}  // namespace mb::test
