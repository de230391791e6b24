// SPDX-License-Identifier: GPL-2.0-or-later
//
// publish, unpublish
#include <memory>

#include <CLI/CLI.hpp>

#include "src/cli/context.h"
#include "src/cli/draw.h"
#include "src/cli/verbs.h"

namespace mb::cli {
namespace {

struct PublishOptions {
  bool take_over = false;
  std::string name;
  std::vector<std::string> specs;

  std::vector<PublishSpec> parsed() const {
    std::vector<PublishSpec> ports;
    for (const auto& spec : specs) ports.push_back(PublishSpec::parse(spec));
    return ports;
  }
};

CLI::App* add_verb_with_ports(CLI::App& app, const char* name, const char* what, const char* example,
                              PublishOptions& options) {
  auto* verb = add_verb(app, name, what, example);
  verb->add_option("NAME", options.name, "name or id of the container")->required();
  verb->add_option("SPEC", options.specs, "[ip:][hostport:]port[/tcp|udp|sctp], ranges with '-'")->required();
  return verb;
}

}  // namespace

void add_publish_verbs(CLI::App& app, Context& context) {
  auto publish = std::make_shared<PublishOptions>();
  auto* verb =
      add_verb_with_ports(app, "publish", "publish ports of a container that runs",
                          "minibridge publish web 8443:443\n"
                          "         minibridge publish --move web2 8443:443      (from whoever has it, in one commit)",
                          *publish);
  verb->add_flag("--move", publish->take_over, "take the host port from the container that has published it");
  verb->callback([publish, &context] {
    context.change({change::Publish{publish->name, publish->parsed(), draw_number(), publish->take_over}});
  });
  auto unpublish = std::make_shared<PublishOptions>();
  add_verb_with_ports(app, "unpublish", "take published ports back", "minibridge unpublish web 8443:443", *unpublish)
      ->callback([unpublish, &context] {
        context.change({change::Unpublish{unpublish->name, unpublish->parsed()}});
      });
}

}  // namespace mb::cli
