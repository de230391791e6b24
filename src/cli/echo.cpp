// SPDX-License-Identifier: GPL-2.0-or-later
//
// echo
#include "src/container/echo.h"

#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/verbs.h"

namespace mb::cli {
namespace {

struct EchoWords {
  std::vector<std::string> listen;
  bool udp = false;
};

// "ADDR:PORT", ":PORT" or "PORT"; an IPv6 address in brackets. Without an address: every one, of both families.
container::EchoListen parse_listen(const std::string& text) {
  Scanner scan("listening address", text, "a port or ADDRESS:PORT, for example 127.0.0.1:8080");
  container::EchoListen listen;
  listen.address = IpAddress::any(Family::v6);
  if (scan.accept('[')) {
    listen.address = IpAddress::parse(scan.until("]"));
    scan.expect(']');
    scan.expect(':');
  } else if (const auto colon = text.find(':'); colon != std::string::npos) {
    const auto address = scan.until(":");
    if (!address.empty()) listen.address = IpAddress::parse(address);
    scan.expect(':');
  }
  listen.port = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
  scan.expect_end();
  return listen;
}

std::string listen_text(const container::EchoListen& listen) {
  const bool v6 = listen.address.family() == Family::v6;
  return fmt::format("{}:{}/{}", v6 ? fmt::format("[{}]", listen.address.str()) : listen.address.str(), listen.port,
                     to_string(listen.protocol));
}

void serve(const Context& context, const EchoWords& words) {
  auto listen = words.listen;
  if (listen.empty()) listen.emplace_back("1234");
  container::EchoOptions options;
  for (const auto& text : listen) {
    options.listen.push_back(parse_listen(text));
    if (!words.udp) continue;
    options.listen.push_back(options.listen.back());
    options.listen.back().protocol = Protocol::udp;
  }
  if (context.globals.dry_run) {
    std::vector<std::string> places;
    for (const auto& place : options.listen) places.push_back(listen_text(place));
    context.print_deed("listen", "listen on " + join(places, " and "));
    return;
  }
  container::serve_echo(options);
}

}  // namespace

void add_echo_verb(CLI::App& app, Context& context) {
  auto words = std::make_shared<EchoWords>();
  auto* verb = add_verb(app, "echo", "the test server: tells each client the addresses it sees",
                        "minibridge echo --listen 127.0.0.1:1234 --udp");
  verb->add_option("--listen", words->listen, "ADDR:PORT, [ADDR]:PORT or PORT (repeatable); default: 1234")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_flag("--udp", words->udp, "serve UDP on the same ports, too");
  verb->callback([words, &context] { serve(context, *words); });
}

}  // namespace mb::cli
