// SPDX-License-Identifier: GPL-2.0-or-later
//
// script/bench's program: each figure of docs/performance.md, measured, in one table. Ends with 1 when a limit is missed.
//
//     benchmarks            all of them
//     benchmarks attach 9   those whose name contains the word, with that many rounds
#include <cstdlib>
#include <exception>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/base/text.h"
#include "tests/bench/floor.h"
#include "tests/bench/host.h"
#include "tests/bench/lab.h"
#include "tests/bench/measure.h"
#include "tests/bench/program.h"
#include "tests/bench/rivals.h"
#include "tests/bench/stream.h"
#include "tests/support/world.h"

namespace mb::bench {
namespace {

constexpr const char* kFloorDir = "/run/floor";
constexpr double kMostMemory = 12;  // MiB

// ---- attaching, in this process

Figure attach(int present, int rounds) {
  const Host host;
  Floor floor(kFloorDir, kBridge);
  host.add(names("present", present), 20000);
  Keeper keeper;
  // Each side attaches two in a row and the second one counts: taking containers away means waiting for the kernel, and
  // meanwhile whoever else works on the machine has the caches.
  int number = 0;
  std::vector<std::string> both;
  Side ours;
  ours.before = [&] {
    both = {"ours" + std::to_string(number), "ours" + std::to_string(number + 1)};
    number += 2;
    host.add({both[0]}, 8080);
  };
  ours.timed = [&] { host.add({both[1]}, 8081); };
  ours.after = [&] {
    for (const auto& name : both) keeper.keep(namespace_path(name));
    host.remove(both);
  };
  std::vector<Order> orders;
  Side bare;
  bare.before = [&] {
    orders = {host.order(number, 8080), host.order(number + 1, 8081)};
    floor.attach(orders[0]);
  };
  bare.timed = [&] { floor.attach(orders[1]); };
  bare.after = [&] {
    for (const auto& order : orders) {
      keeper.keep("/run/netns/" + order.link_name);
      floor.detach(order);
    }
  };
  return timed_figure(fmt::format("attach with one port, {} present", present), "floor", compare(rounds, ours, bare),
                      1.3);
}

// Attaching to a network with both families, against one with IPv4 alone.
Figure attach_dual(int rounds) {
  const Host host;
  host.add_dual_network();
  host.add({"present"}, 20000);
  Keeper keeper;
  const auto attaching = [&](const char* network) {
    const std::vector<std::string> both{std::string(network) + "1", std::string(network) + "2"};
    Side side;
    side.before = [&host, network, both] { host.add({both[0]}, 8080, network); };
    side.timed = [&host, network, both] { host.add({both[1]}, 8081, network); };
    side.after = [&host, &keeper, both] {
      for (const auto& name : both) keeper.keep(namespace_path(name));
      host.remove(both);
    };
    return side;
  };
  return timed_figure("attach with one port, both families", "IPv4 alone",
                      compare(rounds, attaching(kDual), attaching(kSingle)), 1.6);
}

// ---- a flow among many published ports

// From outside through a published port, established before the others are published.
Figure throughput(int rounds) {
  constexpr int kMany = 999;
  const OnOneProcessor one;
  const test::World world;
  const Host host;
  host.add({"web"}, 8080);
  const auto inside = netns::Namespace::open(namespace_path("web"));
  const Stream stream(world.outside(), "198.51.100.1", 8080, inside, 80);
  Side among_many;
  among_many.before = [&] {
    host.publish_each("web", 20000, kMany);
    stream.carry();
  };
  among_many.timed = [&] { stream.carry(); };
  among_many.after = [&] { host.unpublish_each("web", 20000, kMany); };
  Side alone;
  alone.before = [&] { stream.carry(); };
  alone.timed = [&] { stream.carry(); };
  return timed_figure("64 MiB through a port, 1000 published", "one published", compare(rounds, among_many, alone),
                      1.05);
}

// ---- the whole command

void write(const std::string& path, const std::string& text) {
  const auto finished = netns::run({"/bin/sh", "-c", "printf '%s' \"$0\" > \"$1\"", text, path});
  if (finished.status != 0) throw std::runtime_error("cannot write " + path);
}

// What somebody who knows iproute2 well would do: one batch on the host, one inside.
void ip_batch() {
  run({"ip", "-batch", "/run/batch.host"});
  run({"ip", "-netns", "rival", "-batch", "/run/batch.inside"});
}

Figure create(int rounds) {
  const Host host;
  write("/run/batch.host", fmt::format("netns add rival\n"
                                       "link add rival0 type veth peer name eth0 netns rival\n"
                                       "link set rival0 master {} up\n",
                                       kBridge));
  write("/run/batch.inside",
        "link set lo up\naddress add 172.18.200.1/16 dev eth0\nlink set eth0 up\n"
        "route add default via 172.18.0.1\n");
  Keeper keeper;
  Side ours;
  ours.timed = [] { run(minibridge({"create", "made"})); };
  ours.after = [&] {
    keeper.keep(namespace_path("made"));
    run(minibridge({"rm", "made"}));
  };
  Side rival;
  rival.timed = ip_batch;
  rival.after = [&] {
    keeper.keep("/run/netns/rival");
    run({"ip", "link", "delete", "rival0"});
    run({"ip", "netns", "delete", "rival"});
  };
  return timed_figure("minibridge create, the whole command", "ip -batch", compare(rounds, ours, rival), 1.0);
}

// ---- ranges

Figure range(int rounds) {
  const Host host;
  host.add({"web"});
  const auto publishing = [&host](const std::string& spec) {
    Side side;
    side.timed = [&host, spec] { host.publish("web", spec); };
    side.after = [&host, spec] { host.unpublish("web", spec); };
    return side;
  };
  return timed_figure("publish 1000 ports", "one port",
                      compare(rounds, publishing("9000-9999:2000-2999"), publishing("8080:80")), 1.1);
}

std::vector<Figure> rules_of_range() {
  const Host host;
  host.add({"web"});
  const auto count = [] {
    return std::vector{count_rules("nat"), count_rules("raw") + count_rules("filter") + count_rules("mangle")};
  };
  const auto before = count();
  host.publish("web", "9000-9999:2000-2999");
  const auto after = count();
  const auto line = [](const std::string& what, std::size_t rules, double limit) {
    return Figure{what, fmt::format("{}", rules), "", static_cast<double>(rules), limit, true};
  };
  return {line("rules of a 1000-port range in nat", after[0] - before[0], 1),
          line("rules of a 1000-port range elsewhere", after[1] - before[1], 0)};
}

// ---- commits

struct Operation {
  Words words;
  int tables;
};

std::vector<Figure> commits() {
  const std::vector<Operation> operations = {
      {{"network", "create", "one"}, 3},  // raw, nat, filter
      {{"network", "create", "two"}, 2},  // nat, filter
      {{"create", "--network", "one", "plain"}, 0},
      {{"create", "--network", "one", "-p", "8080:80", "-p", "9000-9999:2000-2999", "web"}, 1},
      {{"publish", "web", "8081:81"}, 1},
      {{"unpublish", "web", "8081:81"}, 1},
      {{"rm", "plain"}, 0},
      {{"rm", "web"}, 1},
      {{"network", "rm", "two"}, 2},
      {{"down"}, 3},
  };
  int made = 0;
  int touched = 0;
  std::string more;
  for (const auto& operation : operations) {
    const int commits = count_commits(minibridge(operation.words));
    made += commits;
    touched += operation.tables;
    if (commits != operation.tables)
      more += fmt::format(" [{}: {} for {}]", join(operation.words, " "), commits, operation.tables);
  }
  return {{fmt::format("table commits of {} operations{}", operations.size(), more), fmt::format("{}", made),
           fmt::format("tables touched {}", touched), static_cast<double>(made), static_cast<double>(touched), true}};
}

// ---- removing many

Figure remove_many(int rounds) {
  constexpr int kMany = 100;
  const Host host;
  Floor floor(kFloorDir, kBridge);
  Keeper keeper;
  const auto many = names("many", kMany);
  Words command = minibridge({"rm"});
  command.insert(command.end(), many.begin(), many.end());
  Side ours;
  ours.before = [&] {
    host.add(many);
    for (const auto& name : many) keeper.keep(namespace_path(name));
  };
  ours.timed = [&] { run(command); };
  ours.after = [&] { keeper = {}; };

  std::vector<Order> orders;
  for (int i = 0; i < kMany; ++i) orders.push_back(host.order(i, 0));
  Side bare;
  bare.before = [&] {
    for (const auto& order : orders) {
      floor.attach(order);
      keeper.keep("/run/netns/" + order.link_name);
    }
  };
  bare.timed = [&] { Floor::delete_group(orders.front().group); };
  bare.after = [&] {
    for (const auto& order : orders) floor.detach(order);
    keeper = {};
  };
  return timed_figure("minibridge rm of 100 containers", "links by group", compare(rounds, ours, bare), 1.5);
}

// ---- memory

Figure memory_figure(const std::string& what, long kib) {
  const double mib = static_cast<double>(kib) / 1024;
  return {"peak memory of " + what, fmt::format("{:.1f} MiB", mib), "", mib, kMostMemory};
}

std::vector<Figure> memory() {
  const Host host;
  host.add(names("present", 10), 20000);
  std::vector<Figure> figures;
  figures.push_back(memory_figure("create", peak_memory(minibridge({"create", "-p", "8080:80", "web"}))));
  figures.push_back(
      memory_figure("run -d", peak_memory(minibridge({"run", "-d", "--name", "server", "-p", "8081:80"}))));
  const auto server = nlohmann::json::parse(output_of(minibridge({"inspect", "server"})));
  const pid_t init = server.at(0).at("pid").get<pid_t>();
  figures.push_back(memory_figure("run's supervisor", peak_memory_of(parent_of(init))));
  figures.push_back(memory_figure("ps -a", peak_memory(minibridge({"ps", "-a"}))));
  figures.push_back(memory_figure("rm -f", peak_memory(minibridge({"rm", "-f", "server", "web"}))));
  return figures;
}

// ----

struct Benchmark {
  const char* name;
  int rounds;
  std::function<std::vector<Figure>(int rounds)> run;
};

const std::vector<Benchmark>& all_benchmarks() {
  static const std::vector<Benchmark> kAll = {
      {"attach-1", 60, [](int rounds) { return std::vector{attach(1, rounds)}; }},
      {"attach-100", 60, [](int rounds) { return std::vector{attach(100, rounds)}; }},
      {"attach-dual", 60, [](int rounds) { return std::vector{attach_dual(rounds)}; }},
      {"throughput", 20, [](int rounds) { return std::vector{throughput(rounds)}; }},
      {"create", 40, [](int rounds) { return std::vector{create(rounds)}; }},
      {"range", 100, [](int rounds) { return std::vector{range(rounds)}; }},
      {"rules", 0, [](int) { return rules_of_range(); }},
      {"commits", 0, [](int) { return commits(); }},
      {"remove", 7, [](int rounds) { return std::vector{remove_many(rounds)}; }},
      {"lab", 5,
       [](int rounds) {
         return std::vector{lab_of(10, rounds), lab_of(50, rounds), lab_of(100, rounds)};
       }},
      {"memory", 0, [](int) { return memory(); }},
      // Last: they leave bridges, rules and flows behind, with which the others' figures would be other ones.
      {"rivals-1", 10, [](int rounds) { return against_rivals(1, rounds); }},
      {"rivals-100", 3, [](int rounds) { return against_rivals(100, rounds); }},
  };
  return kAll;
}

int measure(const std::string& word, int rounds) {
  test::enter_test_machine();
  std::vector<Figure> figures;
  for (const auto& benchmark : all_benchmarks()) {
    if (std::string(benchmark.name).find(word) == std::string::npos) continue;
    fmt::print(stderr, "measuring {} …\n", benchmark.name);
    const auto some = benchmark.run(rounds > 0 ? rounds : benchmark.rounds);
    figures.insert(figures.end(), some.begin(), some.end());
  }
  const bool all = print_table(figures);
  return all ? 0 : 1;
}

}  // namespace
}  // namespace mb::bench

int main(int argc, char** argv) {
  try {
    return mb::bench::measure(argc > 1 ? argv[1] : "", argc > 2 ? std::atoi(argv[2]) : 0);
  } catch (const std::exception& problem) {
    fmt::print(stderr, "the measurement failed: {}\n", problem.what());
    return 2;
  }
}
