// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/engine.h"

#include <algorithm>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

#include "netns/netns.h"
#include "src/base/error.h"
#include "src/engine/facts.h"
#include "src/engine/passage.h"
#include "src/engine/session.h"
#include "src/model/chains.h"
#include "src/plan/resolve.h"

namespace mb::engine {
namespace {

constexpr Passage::Extent kTouched{};
constexpr Passage::Extent kTouchedFlowsLast{.flows_last = true};
constexpr Passage::Extent kEverything{true, false};
constexpr Passage::Extent kEverythingBack{true, true};

std::optional<int> written_exit_status(const Setup& setup, const Id& id) {
  return setup.written_exit_status ? setup.written_exit_status(id) : std::nullopt;
}

// By a supervisor, and not as a plan.
bool is_being_started(const Id& id, const std::vector<Change>& changes) {
  return std::any_of(changes.begin(), changes.end(), [&](const Change& change) {
    const auto* start = std::get_if<change::StartContainer>(&change);
    return start != nullptr && start->container == id && start->supervisor_pid != 0;
  });
}

// Containers whose supervisor is gone, as changes. Who starts one holds its byte already, and could not if a supervisor of
// an earlier run lived: what the state still says of that run is over.
std::vector<Change> ends_of_the_dead(const Setup& setup, const store::Store& store,
                                     const std::vector<Change>& changes = {}) {
  std::vector<Change> ends;
  for (const auto& container : store.running()) {
    if (setup.is_alive(container.id) && !is_being_started(container.id, changes)) continue;
    ends.emplace_back(change::EndContainer{container.id, written_exit_status(setup, container.id), setup.now()});
  }
  return ends;
}

// How many new namespaces will be made.
std::size_t new_namespaces_in(const std::vector<Change>& changes) {
  return static_cast<std::size_t>(std::count_if(changes.begin(), changes.end(), [](const Change& change) {
    const auto* add = std::get_if<change::AddContainer>(&change);
    return add != nullptr && add->container.kind == ContainerKind::netns &&
           add->container.attachment != Attachment::host;
  }));
}

Delta delta_of(const std::vector<Change>& changes, Session& session) {
  const auto facts = gather_facts(changes, *session.store, *session.kernel);
  return plan::resolve(changes, *session.store, facts);
}

// Signals are sent before the lock is taken; meanwhile somebody may have started the container again. Taking it out now
// would leave its processes without an owner.
void refuse_to_take_out_the_living(const Setup& setup, const Delta& delta) {
  for (const auto& [before, after] : delta.containers) {
    const bool ran = before && before->status == ContainerStatus::running;
    const bool runs_on = after && after->status == ContainerStatus::running;
    if (!ran || runs_on || before->supervisor_pid == getpid() || !setup.is_alive(before->id)) continue;
    throw Error(ErrorKind::conflict, fmt::format("container '{}' is running", before->name.str()),
                "it was started meanwhile; try again");
  }
}

// Puts right what an accident left behind, before anything new is begun.
void heal(const Setup& setup, Session& session, const std::vector<Change>& changes) {
  const auto ends = ends_of_the_dead(setup, *session.store, changes);
  const bool accident = session.store->marked();
  if (ends.empty() && !accident) return;
  Passage(setup, session, delta_of(ends, session), accident ? kEverything : kTouched).roll_forward();
}

Delta everything_goes(const store::Store& store) {
  Delta delta;
  delta.dropped_networks = store.networks();
  for (auto& container : store.containers()) delta.containers.push_back({std::move(container), std::nullopt});
  return delta;
}

// The operator's chain outlives us when there is something in it.
bool operator_chain_is_left(Session& session, bool ipv6) {
  Scope nothing;
  nothing.ipv6 = ipv6;
  const auto rules = session.kernel->observe(nothing).rules;
  return std::any_of(rules.begin(), rules.end(),
                     [](const auto& entry) { return entry.second.chains.contains(std::string(kUserChain)); });
}

}  // namespace

bool is_running(const Setup& setup, const Container& container) {
  return container.status == ContainerStatus::running && setup.is_alive(container.id);
}

Container as_it_is(const Setup& setup, Container container) {
  if (container.status != ContainerStatus::running || setup.is_alive(container.id)) return container;
  container.status = ContainerStatus::exited;
  container.exit_status = written_exit_status(setup, container.id);
  return container;
}

Outcome Engine::run(const std::vector<Change>& changes) const {
  auto session = open_session(setup_, kept_, new_namespaces_in(changes));
  heal(setup_, session, changes);
  auto delta = delta_of(changes, session);
  refuse_to_take_out_the_living(setup_, delta);
  Passage passage(setup_, session, std::move(delta), kTouchedFlowsLast);
  const bool rolls_forward = std::any_of(changes.begin(), changes.end(), removes);
  return rolls_forward ? passage.roll_forward() : passage.carry_out();
}

Outcome Engine::plan(const std::vector<Change>& changes) const {
  auto session = open_session(setup_);
  auto all = ends_of_the_dead(setup_, *session.store);  // as `run` heals first
  all.insert(all.end(), changes.begin(), changes.end());
  auto delta = delta_of(all, session);
  Passage passage(setup_, session, delta, kTouched);
  return {passage.plan(), std::move(delta), {}, passage.name_of()};
}

Outcome Engine::repair() const {
  auto session = open_session(setup_, kept_);
  const auto ends = ends_of_the_dead(setup_, *session.store);
  return Passage(setup_, session, delta_of(ends, session), kEverything).roll_forward();
}

Outcome Engine::check() const {
  auto session = open_session(setup_);
  auto delta = delta_of(ends_of_the_dead(setup_, *session.store), session);
  Passage passage(setup_, session, delta, kEverything);
  return {passage.plan(), std::move(delta), {}, passage.name_of()};
}

RuleReport Engine::rules() const {
  auto session = open_session(setup_);
  Passage passage(setup_, session, {}, kEverything);
  return {passage.desired().rules, passage.actual().rules};
}

Outcome Engine::take_down() const {
  auto session = open_session(setup_, kept_);
  auto delta = everything_goes(*session.store);
  refuse_to_take_out_the_living(setup_, delta);
  const bool ipv6 = std::any_of(delta.dropped_networks.begin(), delta.dropped_networks.end(),
                                [](const Network& network) { return network.pool(Family::v6) != nullptr; });
  auto outcome = Passage(setup_, session, std::move(delta), kEverythingBack).roll_forward();
  if (operator_chain_is_left(session, ipv6)) {
    outcome.notices.push_back("the chain MINIBRIDGE-USER holds rules of yours and was left in place");
  }
  session.view.reset();
  session.store.reset();
  kept_.reset();
  session.kernel.reset();
  netns::remove_pin_directory(setup_.state_dir + "/netns");
  store::remove_state(setup_.state_dir);
  return outcome;
}

Outcome Engine::plan_take_down() const {
  auto session = open_session(setup_);
  auto delta = everything_goes(*session.store);
  Passage passage(setup_, session, delta, kEverythingBack);
  return {passage.plan(), std::move(delta), {}, passage.name_of()};
}

}  // namespace mb::engine
