// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/passage.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/diff.h"

namespace mb::engine {
namespace {

void look_at_networks_of(const std::optional<Container>& container, std::set<Id>& networks) {
  if (!container) return;
  for (const auto& endpoint : container->endpoints) networks.insert(endpoint.network);
}

// All containers as they will be: the stored ones with the delta laid over them.
std::vector<Container> all_after(const store::Store& store, const Delta& delta) {
  auto all = store.containers();
  for (const auto& change : delta.containers) {
    const Id& id = change.before ? change.before->id : change.after->id;
    std::erase_if(all, [&](const Container& container) { return container.id == id; });
    if (change.after) all.push_back(*change.after);
  }
  return all;
}

NameOf make_name_of(const Delta& delta, const std::vector<Container>& containers) {
  std::map<Id, std::string> names;
  for (const auto& container : containers) names[container.id] = container.name.str();
  for (const auto& change : delta.containers) {
    if (change.before) names[change.before->id] = change.before->name.str();
    if (change.after) names[change.after->id] = change.after->name.str();
  }
  return [names = std::move(names)](const Id& id) {
    const auto found = names.find(id);
    return found == names.end() ? id : found->second;
  };
}

const step::SetSysctl* host_sysctl(const Step& step) {
  const auto* set = std::get_if<step::SetSysctl>(&step);
  return set != nullptr && set->key.container.empty() ? set : nullptr;
}

}  // namespace

Passage::Passage(const Setup& setup, Session& session, Delta delta, Extent extent)
    : setup_(setup), session_(session), delta_(std::move(delta)), extent_(extent) {
  compute();
}

void Passage::compute() {
  auto& store = *session_.store;
  const auto features = session_.kernel->features();
  input_.identity = store.identity();
  input_.devgroup = features.devgroup;
  input_.link_directory = features.link_directory;
  input_.networks = store.networks();
  for (const auto& gone : delta_.dropped_networks) {
    std::erase_if(input_.networks, [&](const Network& network) { return network.id == gone.id; });
  }
  input_.networks.insert(input_.networks.end(), delta_.added_networks.begin(), delta_.added_networks.end());
  for (const auto& network : delta_.added_networks) input_.bridges_of.insert(network.id);
  for (const auto& change : delta_.containers) {
    look_at_networks_of(change.before, input_.bridges_of);
    look_at_networks_of(change.after, input_.bridges_of);
    if (change.after) input_.containers.push_back(*change.after);
  }
  input_.give_back = extent_.give_back;
  if (extent_.give_back) input_.sysctls_before = store.sysctls_before();
  Delta looked_at = delta_;
  if (extent_.everything) {
    input_.containers = all_after(store, delta_);
    for (const auto& network : input_.networks) input_.bridges_of.insert(network.id);
    for (const auto& container : input_.containers) looked_at.containers.push_back({container, container});
  }
  name_of_ = make_name_of(delta_, input_.containers);
  desired_ = plan::desired(input_);
  scope_ = plan::scope_of(looked_at, input_);
  scope_.everything = extent_.everything;
  plan_ = remaining();
}

// What still differs.
Plan Passage::remaining() {
  actual_ = session_.kernel->observe(scope_);
  return plan::diff(desired_, actual_, input_.identity, scope_);
}

// What is left of the plan after it was carried out: nothing, if all went well.
Plan Passage::left_over() {
  if (plan_.empty()) return {};
  std::set<TableKey> changed;
  for (const auto& step : plan_) {
    if (const auto* commit = std::get_if<step::CommitRules>(&step)) changed.insert(commit->table);
  }
  // A table that nothing was changed in was as it should be a moment ago.
  std::erase_if(desired_.rules, [&](const auto& entry) {
    const bool settled = !changed.contains(entry.first);
    if (settled) scope_.settled.insert(entry.first);
    return settled;
  });
  return remaining();
}

void Passage::apply(const Step& step) {
  if (setup_.report) setup_.report(print(step, name_of_));
  session_.kernel->apply(step);
}

void Passage::remember_sysctls() {
  const bool switches =
      std::any_of(plan_.begin(), plan_.end(), [](const Step& step) { return host_sysctl(step) != nullptr; });
  if (!switches || extent_.give_back) return;
  const auto known = session_.store->sysctls_before();
  for (const auto& step : plan_) {
    const auto* set = host_sysctl(step);
    if (set == nullptr || known.contains(set->key.name)) continue;
    session_.store->remember_sysctl(set->key.name, set->before);
    remembered_sysctls_ = true;
  }
}

Outcome Passage::carry_out() {
  auto& store = *session_.store;
  store.set_marker();
  std::size_t at = 0;
  std::optional<Pending<void>> staged;
  try {
    remember_sysctls();
    staged.emplace(session_.worker->give([&] { store.stage(delta_); }));
    for (; at < plan_.size(); ++at) apply(plan_[at]);
    if (const auto left = left_over(); !left.empty()) {
      throw Error(
          ErrorKind::failed,
          fmt::format("the kernel does not show what was asked for: still to do: {}", print(left.front(), name_of_)),
          "is another program changing the same links or rules?");
    }
    staged->get();
    store.commit();
  } catch (const Error& failure) {
    staged.reset();
    store.abandon();
    Error cause = failure;
    undo(at, cause);
    throw cause;
  }
  store.clear_marker();
  return outcome();
}

// Takes back the steps up to the one that failed, that one included: it may have happened in part.
void Passage::undo(std::size_t failed, Error& cause) {
  bool clean = true;
  for (std::size_t i = std::min(failed + 1, plan_.size()); i-- > 0;) {
    const auto back = inverse(plan_[i]);
    if (!back) continue;
    try {
      if (setup_.report) setup_.report("undo: " + print(*back, name_of_));
      session_.kernel->apply(*back, true);
    } catch (const Error& further) {
      clean = false;
      cause.add_cause(further);
    }
  }
  try {
    // What could not be put back now is still to be put back by `down`.
    if (clean && remembered_sysctls_) session_.store->forget_sysctls();
    if (clean) session_.store->clear_marker();
  } catch (const Error& further) {
    cause.add_cause(further);  // the marker stays; the next run looks at everything
  }
}

// What removes is written down before it is done. Where that fails nothing was changed, and the accident is over.
void Passage::write_down_first() {
  const bool was_marked = session_.store->marked();
  session_.store->set_marker();
  try {
    session_.store->write(delta_);
  } catch (...) {
    if (!was_marked) session_.store->clear_marker();
    throw;
  }
}

Outcome Passage::roll_forward() {
  auto& store = *session_.store;
  write_down_first();
  remember_sysctls();
  std::vector<Error> failures;
  for (const auto& step : plan_) {
    try {
      apply(step);
    } catch (const Error& failure) {
      failures.push_back(failure);
    }
  }
  if (failures.empty()) {
    if (const auto left = left_over(); !left.empty()) {
      failures.emplace_back(ErrorKind::failed, fmt::format("still to do: {}", print(left.front(), name_of_)));
    }
  }
  if (!failures.empty()) {
    Error first(failures.front().kind(), failures.front().message(),
                "what is left is finished by the next command, or by 'minibridge repair'",
                failures.front().error_number());
    for (std::size_t i = 1; i < failures.size(); ++i) first.add_cause(failures[i]);
    throw first;
  }
  store.clear_marker();
  return outcome();
}

Outcome Passage::outcome() {
  Outcome result{std::move(plan_), std::move(delta_), {}, name_of_};
  for (const auto& step : result.plan) {
    const auto* set = host_sysctl(step);
    if (set == nullptr || extent_.give_back) continue;
    result.notices.push_back(fmt::format("switched {} from {} to {}; 'minibridge down' puts it back", set->key.name,
                                         set->before.value, set->to.value));
  }
  return result;
}

}  // namespace mb::engine
