// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/doctor.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/engine/session.h"
#include "src/plan/diagnose.h"

namespace mb::engine {
namespace {

// Only those that want anything of the kernel are examined.
std::vector<Container> attached(std::vector<Container> containers) {
  std::erase_if(containers, [](const Container& container) { return !container.wants_network(); });
  return containers;
}

}  // namespace

std::vector<Finding> examine(const Setup& setup) {
  auto session = open_session(setup);
  plan::DiagnoseInput input;
  input.networks = session.store->networks();
  input.containers = attached(session.store->containers());
  input.report = session.kernel->report(plan::report_scope(input.networks, input.containers));
  // Where the tables cannot be read there is nothing to compare with.
  if (input.report.unreadable.empty()) {
    auto outcome = Engine(setup).check();
    input.differences = std::move(outcome.plan);
    input.name_of = std::move(outcome.name_of);
  }
  return plan::diagnose(input);
}

std::vector<std::string> warn_of_stops(const Setup& setup, const std::vector<Id>& ids) noexcept try {
  if (!kernel::foreign_rules_come_first()) return {};
  auto session = open_session(setup);
  auto containers = attached(session.store->containers());
  std::erase_if(containers, [&](const Container& container) {
    return container.ports.empty() || std::find(ids.begin(), ids.end(), container.id) == ids.end();
  });
  if (containers.empty()) return {};
  const auto networks = session.store->networks();
  auto scope = plan::report_scope(networks, containers);
  scope.everything = false;
  std::vector<std::string> notices;
  for (const auto& finding : plan::certain_stops(session.kernel->report(scope), networks, containers)) {
    notices.push_back(fmt::format("{}; {}. 'minibridge doctor' says more", finding.seen, finding.why));
  }
  return notices;
} catch (const std::exception&) {
  return {};  // what could not be found out now `doctor` tells
}

}  // namespace mb::engine
