// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/lab.h"

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "src/lab/hold.h"
#include "src/lab/topology.h"
#include "tests/bench/program.h"

namespace mb::bench {
namespace {

std::string subnet(int i) { return fmt::format("10.{}.{}", i / 250, i % 250); }

lab::Topology star(int nodes) {
  std::string text = "nodes:\n  hub: {kind: router}\n";
  std::string links = "links:\n";
  for (int i = 1; i < nodes; ++i) {
    text += fmt::format("  n{}: {{routes: [{{to: default, via: {}.1}}]}}\n", i, subnet(i));
    links += fmt::format(
        "  - ends: [{{node: hub, interface: e{0}, addresses: {1}.1/24}}, "
        "{{node: n{0}, interface: eth0, addresses: {1}.2/24}}]\n",
        i, subnet(i));
  }
  return lab::read_topology(text + links, "star", "star");
}

std::string path_of(const std::string& node) { return "/run/batch." + node; }

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

void write_batches(int nodes) {
  std::string outside = "netns add hub\n";
  std::string hub = "link set lo up\n";
  std::string end = "netns delete hub\n";
  for (int i = 1; i < nodes; ++i) {
    outside += fmt::format("netns add n{}\n", i);
    end += fmt::format("netns delete n{}\n", i);
  }
  for (int i = 1; i < nodes; ++i) {
    outside += fmt::format("link add e{0} netns hub type veth peer name eth0 netns n{0}\n", i);
    hub += fmt::format("link set e{0} up\naddress add {1}.1/24 dev e{0}\n", i, subnet(i));
    write_file(
        path_of(fmt::format("n{}", i)),
        fmt::format("link set lo up\nlink set eth0 up\naddress add {0}.2/24 dev eth0\nroute add default via {0}.1\n",
                    subnet(i)));
  }
  write_file(path_of("outside"), outside);
  write_file(path_of("hub"), hub);
  write_file(path_of("end"), end);
}

void build_with_ip(int nodes) {
  run({"ip", "-batch", path_of("outside")});
  run({"ip", "-netns", "hub", "-batch", path_of("hub")});
  for (int i = 1; i < nodes; ++i) {
    const auto node = fmt::format("n{}", i);
    run({"ip", "-netns", node, "-batch", path_of(node)});
  }
}

}  // namespace

Figure lab_of(int nodes, int rounds) {
  const auto topology = star(nodes);
  write_batches(nodes);
  std::optional<lab::Holder> holder;
  Side ours;
  ours.timed = [&] { holder.emplace(lab::hold(topology, {}, [](lab::World&) -> int { lab::World::stay(); })); };
  ours.after = [&] { holder.reset(); };
  Side rival;
  rival.timed = [&] { build_with_ip(nodes); };
  rival.after = [] { run({"ip", "-batch", path_of("end")}); };
  return timed_figure(fmt::format("a lab of {} nodes", nodes), "ip -batch", compare(rounds, ours, rival), 1.0);
}

}  // namespace mb::bench
