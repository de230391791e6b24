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
  std::string name;
  std::vector<std::string> specs;

  std::vector<PublishSpec> parsed() const {
    std::vector<PublishSpec> ports;
    for (const auto& spec : specs) ports.push_back(PublishSpec::parse(spec));
    return ports;
  }
};

void change_ports(Context& context, const Change& change) {
  if (!context.globals.dry_run) require_privilege();
  context.change({change});
}

CLI::App* add_verb(CLI::App& app, const char* name, const char* what, const char* example, PublishOptions& options) {
  auto* verb = app.add_subcommand(name, what);
  verb->set_help_flag("--help", "show this help");
  verb->footer(example);
  verb->add_option("NAME", options.name, "name or id of the container")->required();
  verb->add_option("SPEC", options.specs, "[ip:][hostport:]port[/tcp|udp|sctp], ranges with '-'")->required();
  return verb;
}

}  // namespace

void add_publish_verbs(CLI::App& app, Context& context) {
  auto publish = std::make_shared<PublishOptions>();
  add_verb(app, "publish", "publish ports of a container that runs", "Example: minibridge publish web 8443:443",
           *publish)
      ->callback([publish, &context] {
        change_ports(context, change::Publish{publish->name, publish->parsed(), draw_number()});
      });
  auto unpublish = std::make_shared<PublishOptions>();
  add_verb(app, "unpublish", "take published ports back", "Example: minibridge unpublish web 8443:443", *unpublish)
      ->callback([unpublish, &context] {
        change_ports(context, change::Unpublish{unpublish->name, unpublish->parsed()});
      });
}

}  // namespace mb::cli
