// SPDX-License-Identifier: GPL-2.0-or-later
//
// inspect
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/verbs.h"
#include "src/plan/find_network.h"

namespace mb::cli {
namespace {

std::string describe_any(const Context& context, const store::Store& state, const std::string& name) {
  const auto networks = state.networks();
  if (const auto found = state.find_container(name)) {
    const auto container = engine::as_it_is(context.setup(), *found);
    const auto status = status_text(context.setup(), container);
    return describe(ContainerView{container, status.substr(0, status.find(' '))}, networks, context.globals.state_dir);
  }
  if (const auto network = plan::find_network(networks, name)) return describe(*network, state.containers());
  throw Error(ErrorKind::not_found, fmt::format("there is no container or network '{}'", printable(name)),
              "'minibridge ps -a' and 'minibridge network ls' list them");
}

}  // namespace

void add_inspect_verb(CLI::App& app, Context& context) {
  auto names = std::make_shared<std::vector<std::string>>();
  auto* verb = add_verb(app, "inspect", "describe containers or networks in full, as JSON", "minibridge inspect web");
  verb->add_option("NAME", *names, "names or ids")->required();
  verb->callback([names, &context] {
    const auto state = context.state();
    std::vector<std::string> objects;
    for (const auto& name : *names) objects.push_back(describe_any(context, *state, name));
    print_line(json_list(objects));
  });
}

}  // namespace mb::cli
