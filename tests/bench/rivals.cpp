// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/rivals.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/bench/host.h"
#include "tests/bench/program.h"

namespace mb::bench {
namespace {

constexpr const char* kNetavark = "/usr/lib/podman/netavark";  // Debian's netavark
constexpr const char* kPlugins = "/usr/lib/cni";               // Debian's containernetworking-plugins
constexpr const char* kFolder = "/run/rival";
constexpr const char* kSpace = "/run/netns/rival";
constexpr int kFirstPort = 20000;  // of the host; inside they begin with 1

void write(const std::string& name, const std::string& text) {
  std::ofstream(fmt::format("{}/{}", kFolder, name)) << text;
}

// podman's request, for a network like the one that it makes for itself.
nlohmann::json netavark_request(int ports) {
  auto request = nlohmann::json::parse(R"({
    "container_id": "rival", "container_name": "rival",
    "networks": {"podman": {"interface_name": "eth0", "static_ips": ["10.88.0.5"]}},
    "network_info": {"podman": {
      "dns_enabled": false, "driver": "bridge", "internal": false, "ipv6_enabled": false, "name": "podman",
      "id": "53ce4390f2adb1681eb1a90ec8b48c49c015e0a8d336c197637e7f65e365fa9e", "network_interface": "podman0",
      "subnets": [{"gateway": "10.88.0.1", "subnet": "10.88.0.0/16"}]}},
    "port_mappings": []})");
  for (int i = 0; i < ports; ++i) {
    request["port_mappings"].push_back(
        {{"container_port", i + 1}, {"host_ip", ""}, {"host_port", kFirstPort + i}, {"protocol", "tcp"}, {"range", 1}});
  }
  return request;
}

nlohmann::json plugin_request(const char* plugin) {
  return {{"cniVersion", "0.4.0"}, {"name", "rivals"}, {"type", plugin}};
}

nlohmann::json bridge_request() {
  auto request = plugin_request("bridge");
  request.update({{"bridge", "cni0"}, {"isGateway", true}, {"ipMasq", true}});
  request["ipam"] = nlohmann::json::parse(R"({"type": "static", "routes": [{"dst": "0.0.0.0/0"}],
    "addresses": [{"address": "10.30.0.5/16", "gateway": "10.30.0.1"}]})");
  return request;
}

nlohmann::json portmap_request(int ports) {
  auto request = plugin_request("portmap");
  request["prevResult"] = nlohmann::json::parse(R"({"cniVersion": "0.4.0", "dns": {},
    "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/run/netns/rival"}],
    "ips": [{"version": "4", "interface": 1, "address": "10.30.0.5/16", "gateway": "10.30.0.1"}]})");
  for (int i = 0; i < ports; ++i) {
    request["runtimeConfig"]["portMappings"].push_back(
        {{"hostPort", kFirstPort + i}, {"containerPort", i + 1}, {"protocol", "tcp"}});
  }
  return request;
}

std::string call_netavark(const char* verb) {
  return fmt::format("{0} --config {1} {2} {3} <{1}/netavark.json >{1}/answer", kNetavark, kFolder, verb, kSpace);
}

std::string call_plugin(const char* verb, const char* plugin) {
  return fmt::format(
      "CNI_COMMAND={} CNI_CONTAINERID=rival CNI_NETNS={} CNI_IFNAME=eth0 CNI_PATH={} {}/{} <{}/{}.json >{}/answer",
      verb, kSpace, kPlugins, kPlugins, plugin, kFolder, plugin, kFolder);
}

void shell(const std::string& script) { run({"/bin/sh", "-c", script}); }

Side ours(int ports, Keeper& keeper) {
  Words words = {"create"};
  for (int i = 0; i < ports; ++i) words.insert(words.end(), {"-p", fmt::format("{}:{}", kFirstPort + i, i + 1)});
  words.emplace_back("made");
  Side side;
  side.timed = [words] { run(minibridge(words)); };
  side.after = [&keeper] {
    keeper.keep(namespace_path("made"));
    run(minibridge({"rm", "made"}));
  };
  return side;
}

Side theirs(const std::string& set_up, const std::string& tear_down) {
  Side side;
  side.before = [] { run({"ip", "netns", "add", "rival"}); };
  side.timed = [set_up] { shell(set_up); };
  side.after = [tear_down] {
    shell(tear_down);
    run({"ip", "netns", "delete", "rival"});
  };
  return side;
}

}  // namespace

std::vector<Figure> against_rivals(int ports, int rounds) {
  const Host host;
  Keeper keeper;
  std::filesystem::create_directories(kFolder);
  write("netavark.json", netavark_request(ports).dump());
  write("bridge.json", bridge_request().dump());
  write("portmap.json", portmap_request(ports).dump());
  const auto what = fmt::format("minibridge create, {} port{}", ports, ports == 1 ? "" : "s");
  std::vector<Figure> figures;
  const auto add = [&](const char* program, const char* name, const Side& side) {
    if (::access(program, X_OK) != 0) return fmt::print("{}: not installed, not compared\n", name);
    figures.push_back(timed_figure(what, name, compare(rounds, ours(ports, keeper), side), 1.0));
  };
  add(kNetavark, "netavark", theirs(call_netavark("setup"), call_netavark("teardown")));
  add("/usr/lib/cni/portmap", "CNI bridge, portmap",
      theirs(call_plugin("ADD", "bridge") + " && " + call_plugin("ADD", "portmap"),
             call_plugin("DEL", "portmap") + " && " + call_plugin("DEL", "bridge")));
  return figures;
}

}  // namespace mb::bench
