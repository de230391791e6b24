// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/passage.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/engine/names.h"
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

NameOf make_name_of(const Delta& delta, const std::vector<Network>& networks,
                    const std::vector<Container>& containers) {
  std::map<Id, std::string> names;
  for (const auto& network : delta.dropped_networks) names[network.id] = network.name.str();
  for (const auto& network : networks) names[network.id] = network.name.str();
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

// In every family that is in use. Asked only where somebody's ports depend on it.
void ask_about_bridged_frames(plan::DesiredInput& input, kernel::Kernel& kernel) {
  std::set<Family> in_use;
  for (const auto& network : input.networks) {
    if (network.icc) continue;
    for (const auto& pool : network.pools) in_use.insert(pool.subnet.family());
  }
  input.can_filter_frames = input.filters_all_frames = !in_use.empty();
  for (const auto family : in_use) {
    const auto filters = kernel.filters_bridged_frames(family);
    input.can_filter_frames = input.can_filter_frames && filters.has_value();
    input.filters_all_frames = input.filters_all_frames && filters.value_or(false);
  }
}

const step::SetSysctl* host_sysctl(const Step& step) {
  const auto* set = std::get_if<step::SetSysctl>(&step);
  return set != nullptr && set->key.container.empty() ? set : nullptr;
}

// Of so many links that another thread is worth its while.
bool deletes_many_links(const Step& step) {
  constexpr std::size_t kMany = 16;
  const auto* links = std::get_if<step::DeleteLinks>(&step);
  return links != nullptr && links->links.size() >= kMany;
}

// What a container leaves behind in the file system. Shares nothing with links.
bool is_about_files(const Step& step) {
  return std::holds_alternative<step::UnlinkNamespace>(step) || std::holds_alternative<step::UnpinNamespaces>(step) ||
         std::holds_alternative<step::RemoveDirectory>(step);
}

// The bridge (or the host's end of a pair) that a step makes or changes; none if it is about something else.
const InterfaceName* changed_host_link(const Step& step) {
  const auto on_host = [](const LinkRef& link) { return link.container.empty() ? &link.name : nullptr; };
  if (const auto* add = std::get_if<step::AddBridge>(&step)) return &add->bridge.name;
  if (const auto* change = std::get_if<step::ChangeLink>(&step)) return on_host(change->link);
  if (const auto* add = std::get_if<step::AddAddress>(&step)) return on_host(add->link);
  if (const auto* remove = std::get_if<step::DeleteAddress>(&step)) return on_host(remove->link);
  return nullptr;
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
  ask_about_bridged_frames(input_, *session_.kernel);
  const auto has_ipv6 = [](const Network& network) { return network.pool(Family::v6) != nullptr; };
  if (std::any_of(input_.networks.begin(), input_.networks.end(), has_ipv6)) {
    input_.following_uplinks = session_.kernel->following_uplinks();
  }
  input_.give_back = extent_.give_back;
  input_.rested = delta_.rested;
  const bool leaves_adopted = std::any_of(delta_.dropped_networks.begin(), delta_.dropped_networks.end(),
                                          [](const Network& network) { return network.adopted_bridge; });
  if (extent_.give_back || extent_.everything || leaves_adopted) input_.sysctls_before = store.sysctls_before();
  Delta looked_at = delta_;
  if (extent_.everything) {
    input_.containers = all_after(store, delta_);
    for (const auto& network : input_.networks) input_.bridges_of.insert(network.id);
    for (const auto& container : input_.containers) looked_at.containers.push_back({container, container});
  }
  std::set<Id> changed;
  for (const auto& change : delta_.containers) changed.insert(change.before ? change.before->id : change.after->id);
  gather_names(input_, changed, store, *session_.kernel);
  name_of_ = make_name_of(delta_, input_.networks, input_.containers);
  desired_ = plan::desired(input_);
  for (const auto& [key, wanted] : desired_.sysctls) {
    if (wanted.put_back && !extent_.give_back) returned_sysctls_.push_back(key.name);
  }
  scope_ = plan::scope_of(looked_at, input_);
  scope_.everything = extent_.everything;
  plan_ = first_plan();
}

// Where there is nothing else to do it is asked for flows all the same; else left_over() will.
Plan Passage::first_plan() {
  if (!extent_.flows_last) return remaining();
  auto flows = std::exchange(scope_.flows, {});
  auto plan = remaining();
  scope_.flows = std::move(flows);
  return plan.empty() && !scope_.flows.empty() ? remaining() : plan;
}

// What still differs.
Plan Passage::remaining() {
  actual_ = session_.kernel->observe(scope_);
  return plan::diff(desired_, actual_, input_.identity, scope_);
}

// What is left of the plan after it was carried out: nothing, if all went well.
Plan Passage::left_over() {
  if (plan_.empty()) return {};
  std::set<TableKey> tables;
  std::set<SysctlKey> sysctls;
  std::set<InterfaceName> links;
  for (const auto& step : plan_) {
    if (const auto* commit = std::get_if<step::CommitRules>(&step)) tables.insert(commit->table);
    if (const auto* set = std::get_if<step::SetSysctl>(&step)) sysctls.insert(set->key);
    if (const auto* link = changed_host_link(step)) links.insert(*link);
  }
  // A table, a sysctl or a bridge that nothing was changed in was as it should be a moment ago.
  std::erase_if(desired_.rules, [&](const auto& entry) {
    const bool settled = !tables.contains(entry.first);
    if (settled) scope_.settled.insert(entry.first);
    return settled;
  });
  std::erase_if(desired_.sysctls, [&](const auto& entry) { return !sysctls.contains(entry.first); });
  std::erase_if(desired_.bridges, [&](const auto& entry) {  // who looks at everything comes upon all bridges
    const bool settled = !scope_.everything && !links.contains(entry.first);
    if (settled) scope_.bridges.erase(entry.first);
    return settled;
  });
  scope_.sysctls = std::move(sysctls);
  return forget_late_flows(remaining());
}

// A flow that began between looking and the change of the rules goes the old way and shows now; none begins after it.
// (One that is just being confirmed by the kernel may need a second look.)
Plan Passage::forget_late_flows(Plan left) {
  constexpr int kMostLooks = 5;
  const auto is_flow = [](const Step& step) { return std::holds_alternative<step::DeleteFlows>(step); };
  for (int look = 0; look < kMostLooks && !left.empty() && std::all_of(left.begin(), left.end(), is_flow); ++look) {
    for (const auto& step : left) apply(step);
    left = remaining();
  }
  return left;
}

void Passage::tell(const Step& step) const {
  if (setup_.report) setup_.report(print(step, name_of_));
}

void Passage::apply(const Step& step) {
  tell(step);
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
    remembered_sysctls_.push_back(set->key.name);
  }
}

Outcome Passage::carry_out() {
  auto& store = *session_.store;
  store.set_marker();
  std::size_t at = 0;
  try {
    remember_sysctls();
    auto staging = session_.worker->offer([&] { store.stage(delta_); });
    if (!session_.worker->has_thread()) staging.finish();
    for (; at < plan_.size(); ++at) apply(plan_[at]);
    const auto left = left_over();
    session_.worker->close();
    staging.finish();
    if (!left.empty()) {
      throw Error(
          ErrorKind::failed,
          fmt::format("the kernel does not show what was asked for: still to do: {}", print(left.front(), name_of_)),
          "is another program changing the same links or rules?");
    }
    store.commit();
  } catch (const std::exception& failure) {  // not even want of memory may leave half of it
    store.abandon();
    Error cause = as_error(failure);
    undo(at, cause);
    throw cause;
  }
  close_books();
  return outcome();
}

// It is done and committed, so nothing that fails now makes it a failure. The marker stays then, and the next verb looks at
// everything.
void Passage::close_books() {
  try {
    session_.store->forget_sysctls(returned_sysctls_);
    session_.store->clear_marker();
  } catch (const std::exception& failure) {
    notices_.push_back(fmt::format("it is done, but the next command looks at everything again: {}", failure.what()));
  }
}

// What a user who adds to a network should know about its names.
std::optional<std::string> Passage::names_notice(const Delta& delta) const {
  if (input_.name_servers) return std::nullopt;
  for (const auto& [before, after] : delta.containers) {
    const bool comes = after && after->wants_network() && !(before && before->wants_network());
    if (!comes) continue;
    for (const auto& network : input_.networks) {
      const bool is_in = std::any_of(after->endpoints.begin(), after->endpoints.end(),
                                     [&](const Endpoint& endpoint) { return endpoint.network == network.id; });
      if (is_in && plan::serves_names(network)) {
        return fmt::format(
            "network '{}' has no name server, because dnsmasq is not installed (Debian: dnsmasq-base): its containers "
            "find each other through /etc/hosts alone",
            network.name.str());
      }
    }
  }
  return std::nullopt;
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
    } catch (const std::exception& further) {
      clean = false;
      cause.add_cause(as_error(further));
    }
  }
  try {
    // What could not be put back now is still to be put back by `down`.
    if (clean) session_.store->forget_sysctls(remembered_sysctls_);
    if (clean) session_.store->clear_marker();
  } catch (const std::exception& further) {
    cause.add_cause(as_error(further));  // the marker stays; the next run looks at everything
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

// A namespace that has lost its pin lives on with its processes. Pinned again from where they are, what is in it shows, and
// need not be made anew.
Plan Passage::pin_again() {
  Plan pinned;
  for (const auto& step : plan_) {
    const auto* pin = std::get_if<step::PinNamespace>(&step);
    if (pin == nullptr || pin->source.empty()) continue;
    try {
      apply(step);
      pinned.push_back(step);
    } catch (const Error&) {  // it is still to be done then, and fails again where failures are collected
    }
  }
  if (!pinned.empty()) plan_ = remaining();
  return pinned;
}

void Passage::try_one(const Step& step, std::vector<Error>& failures) {
  try {
    session_.kernel->apply(step);
  } catch (const std::exception& failure) {
    failures.push_back(as_error(failure));
  }
}

// The kernel takes its time over many links; what lies in files goes meanwhile.
void Passage::try_beside(const Step& deleting, const Plan& files, std::vector<Error>& failures) {
  for (const auto& file : files) tell(file);
  std::vector<Error> beside;
  auto tidying = session_.worker->begin([&] {
    for (const auto& file : files) try_one(file, beside);
  });
  session_.worker->close();
  try_one(deleting, failures);
  tidying.finish();
  failures.insert(failures.end(), beside.begin(), beside.end());
}

// Carries out every step, whatever becomes of the others.
std::vector<Error> Passage::try_all() {
  std::vector<Error> failures;
  Plan files;
  const bool many = std::any_of(plan_.begin(), plan_.end(), deletes_many_links);
  if (many) std::copy_if(plan_.begin(), plan_.end(), std::back_inserter(files), is_about_files);
  for (const auto& step : plan_) {
    if (many && is_about_files(step)) continue;
    tell(step);
    if (deletes_many_links(step)) {
      try_beside(step, files, failures);
    } else {
      try_one(step, failures);
    }
  }
  return failures;
}

Outcome Passage::roll_forward() {
  write_down_first();
  const auto pinned = pin_again();
  remember_sysctls();
  auto failures = try_all();
  try {
    const auto left = failures.empty() ? left_over() : Plan();
    if (!left.empty()) {
      failures.emplace_back(ErrorKind::failed, fmt::format("still to do: {}", print(left.front(), name_of_)));
    }
  } catch (const std::exception& failure) {
    failures.push_back(as_error(failure));
  }
  if (!failures.empty()) {
    Error first(failures.front().kind(), failures.front().message(),
                "what is left is finished by the next command, or by 'minibridge repair'",
                failures.front().error_number());
    for (std::size_t i = 1; i < failures.size(); ++i) first.add_cause(failures[i]);
    throw first;
  }
  close_books();
  plan_.insert(plan_.begin(), pinned.begin(), pinned.end());
  return outcome();
}

Outcome Passage::outcome() {
  Outcome result{std::move(plan_), std::move(delta_), std::move(notices_), name_of_};
  if (const auto notice = names_notice(result.delta)) result.notices.push_back(*notice);
  for (const auto& step : result.plan) {
    const auto* set = host_sysctl(step);
    if (set == nullptr || set->to.put_back) continue;
    result.notices.push_back(fmt::format("switched {} from {} to {}; 'minibridge down' puts it back", set->key.name,
                                         set->before.value, set->to.value));
  }
  return result;
}

}  // namespace mb::engine
