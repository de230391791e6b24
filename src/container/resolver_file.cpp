// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/resolver_file.h"

#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::container {
namespace {

constexpr std::string_view kNameServer = "nameserver ";

std::string read_file(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool is_loopback(std::string_view server) {
  try {
    return IpAddress::parse(server).is_loopback();
  } catch (const Error&) {
    return false;  // a link-local address with a zone, or something newer than us: pass it on
  }
}

struct Settings {
  std::vector<std::string> servers;
  std::string others;  // search, options, … as they stand
};

Settings read_settings(std::string_view text) {
  Settings settings;
  for (const auto line : split(text, '\n')) {
    const auto word_end = line.find_first_of(" \t");
    const auto keyword = line.substr(0, word_end);
    if (keyword == "nameserver" && word_end != std::string_view::npos) {
      const auto from = line.find_first_not_of(" \t", word_end);
      if (from == std::string_view::npos) continue;
      const auto server = line.substr(from, line.find_first_of(" \t\r", from) - from);
      if (!is_loopback(server)) settings.servers.emplace_back(server);
    } else if (keyword == "search" || keyword == "domain" || keyword == "options" || keyword == "sortlist") {
      settings.others += fmt::format("{}\n", line);
    }
  }
  return settings;
}

}  // namespace

bool names_a_server(std::string_view text) { return !read_settings(text).servers.empty(); }

std::string resolver_file(std::string_view host, std::string_view upstream, const std::vector<IpAddress>& servers,
                          const std::vector<std::string>& search) {
  auto settings = read_settings(host);
  if (settings.servers.empty()) settings.servers = read_settings(upstream).servers;
  if (!servers.empty()) {
    settings.servers.clear();
    for (const auto& server : servers) settings.servers.push_back(server.str());
  }
  if (!search.empty()) {
    std::string kept;
    for (const auto line : split(settings.others, '\n')) {
      if (!line.empty() && !line.starts_with("search") && !line.starts_with("domain"))
        kept += fmt::format("{}\n", line);
    }
    settings.others = fmt::format("search {}\n{}", join(search, " "), kept);
  }
  std::string text = "# Made by minibridge for this container.\n";
  for (const auto& server : settings.servers) text += fmt::format("{}{}\n", kNameServer, server);
  return text + settings.others;
}

std::string resolver_file(const std::vector<IpAddress>& servers, const std::vector<std::string>& search) {
  return resolver_file(read_file("/etc/resolv.conf"), read_file("/run/systemd/resolve/resolv.conf"), servers, search);
}

std::string renewed_resolver_file(const Container& container) {
  std::vector<IpAddress> servers;
  if (container.own_resolvers) {
    for (const auto line : split(container.resolv_conf, '\n')) {
      if (line.starts_with(kNameServer)) servers.push_back(IpAddress::parse(line.substr(kNameServer.size())));
    }
  }
  return resolver_file(servers, container.search_domains);
}

}  // namespace mb::container
