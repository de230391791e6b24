// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/resolve.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/plan/allocate.h"
#include "src/plan/draft.h"
#include "src/plan/endpoints.h"
#include "src/plan/new_network.h"
#include "src/plan/publish.h"

namespace mb::plan {
namespace {

class Resolver {
 public:
  Resolver(const StateView& state, const HostFacts& facts) : draft_(state), facts_(facts) {}

  void operator()(const change::AddNetwork& wanted) {
    // A name may look like the beginning of somebody's id.
    if (const auto other = draft_.find_network(wanted.name.str()); other && other->name == wanted.name) {
      if (wanted.if_absent) return;
      throw Error(ErrorKind::conflict, fmt::format("there is a network '{}' already", wanted.name.str()),
                  "choose another name, or remove it with 'minibridge network rm'");
    }
    draft_.add(make_network(wanted, draft_, facts_));
  }

  void operator()(const change::RemoveNetwork& wanted) {
    const auto network = draft_.network(wanted.network);
    if (draft_.endpoint_count(network.id) > 0) {
      for (const auto& container : draft_.containers()) {
        const bool uses = std::any_of(container.endpoints.begin(), container.endpoints.end(),
                                      [&](const Endpoint& endpoint) { return endpoint.network == network.id; });
        if (uses) {
          throw Error(ErrorKind::conflict,
                      fmt::format("network '{}' is in use by container '{}'", network.name.str(), container.name.str()),
                      "remove its containers first ('minibridge rm -f')");
        }
      }
    }
    draft_.drop(network);
  }

  void operator()(const change::AddContainer& wanted) {
    Container container = wanted.container;
    // A name may look like the beginning of somebody's id.
    if (const auto other = draft_.find_container(container.name.str()); other && other->name == container.name) {
      throw Error(ErrorKind::conflict, fmt::format("there is a container '{}' already", container.name.str()),
                  fmt::format("choose another name, or remove it with 'minibridge rm {}'", container.name.str()));
    }
    for (const auto& request : wanted.endpoints) {
      container.endpoints.push_back(make_endpoint(container, request, wanted.taken_links, draft_, facts_));
      note_rested_fixed(container.id, container.endpoints.back());
    }
    choose_default_routes(container, wanted.default_routes, draft_);
    container.ports.clear();
    check_can_publish(container, draft_);
    if (container.wants_network()) settle(container, wanted.draw);
    draft_.add(std::move(container));
  }

  void operator()(const change::StartContainer& wanted) {
    const auto before = draft_.container(wanted.container);
    if (before.wants_network()) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is running already", before.name.str()));
    }
    Container after = before;
    after.status = ContainerStatus::running;
    after.supervisor_pid = wanted.supervisor_pid;
    after.init_pid = wanted.init_pid;
    after.namespace_source = wanted.namespace_source;
    if (!wanted.resolv_conf.empty()) after.resolv_conf = wanted.resolv_conf;
    after.started_at = wanted.started_at;
    after.remove_when_ended = before.remove_when_ended || wanted.remove_when_ended;
    after.exit_status.reset();
    note_kept(after);
    draft_.change(before, std::nullopt);  // so that it does not stand in its own way
    settle_again(after, wanted.draw);
    draft_.change(before, std::move(after));
  }

  void operator()(const change::KeepContainer& wanted) {
    const auto before = draft_.find_container(wanted.container);
    if (!before || !before->remove_when_ended) return;
    Container after = *before;
    after.remove_when_ended = false;
    draft_.change(*before, std::move(after));
  }

  void operator()(const change::EndContainer& wanted) {
    const auto before = draft_.find_container(wanted.container);
    if (!before || before->status != ContainerStatus::running) return;  // somebody else has taken it out already
    if (before->remove_when_ended) {
      draft_.change(*before, std::nullopt);
      return;
    }
    Container after = *before;
    after.status = ContainerStatus::exited;
    after.exit_status = wanted.exit_status;
    after.finished_at = wanted.finished_at;
    after.supervisor_pid = 0;
    after.init_pid = 0;
    after.namespace_source.clear();
    after.ports.clear();
    for (auto& endpoint : after.endpoints) {
      for (auto& address : endpoint.addresses) {
        if (!address.fixed) address.address.reset();
      }
    }
    draft_.change(*before, std::move(after));
  }

  void operator()(const change::RemoveContainer& wanted) {
    const auto container = draft_.container(wanted.container);
    if (container.status == ContainerStatus::running) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is running", container.name.str()),
                  fmt::format("stop it first, or use 'minibridge rm -f {}'", container.name.str()));
    }
    draft_.change(container, std::nullopt);
  }

  void operator()(const change::Connect& wanted) {
    const auto before = draft_.container(wanted.container);
    if (before.attachment == Attachment::host) {
      throw Error(ErrorKind::conflict,
                  fmt::format("container '{}' uses the host's own network and can be in no other", before.name.str()));
    }
    Container after = before;
    after.attachment = Attachment::networks;
    after.endpoints.push_back(make_endpoint(before, wanted.endpoint, wanted.taken_links, draft_, facts_));
    note_rested_fixed(after.id, after.endpoints.back());
    choose_default_routes(after, foreign_routes(before, wanted.default_routes), draft_);
    if (after.wants_network()) {
      draft_.change(before, std::nullopt);  // so that it does not stand in its own way
      settle_addresses(after);
      settle_ports(after, draft_, facts_, wanted.draw);
    }
    draft_.change(before, std::move(after));
  }

  void operator()(const change::Disconnect& wanted) {
    const auto before = draft_.container(wanted.container);
    const auto network = draft_.network(wanted.network);
    Container after = before;
    const auto gone =
        std::erase_if(after.endpoints, [&](const Endpoint& endpoint) { return endpoint.network == network.id; });
    if (gone == 0) {
      if (wanted.if_connected) return;
      throw Error(ErrorKind::not_found,
                  fmt::format("container '{}' is not in network '{}'", before.name.str(), network.name.str()),
                  fmt::format("'minibridge inspect {}' shows its networks", before.name.str()));
    }
    choose_default_routes(after, foreign_routes(before, {}), draft_);
    if (after.wants_network()) {
      draft_.change(before, std::nullopt);
      settle_ports(after, draft_, facts_, 0);
    }
    draft_.change(before, std::move(after));
  }

  void operator()(const change::Publish& wanted) {
    const auto before = running(wanted.container);
    Container after = before;
    after.publish.insert(after.publish.end(), wanted.ports.begin(), wanted.ports.end());
    check_can_publish(after, draft_);
    if (wanted.take_over) {
      for (const auto& spec : wanted.ports) plan::take_over(draft_, before, spec);
    }
    draft_.change(before, std::nullopt);
    settle_ports(after, draft_, facts_, wanted.draw);
    draft_.change(before, std::move(after));
  }

  void operator()(const change::Unpublish& wanted) {
    const auto before = running(wanted.container);
    Container after = before;
    for (const auto& spec : wanted.ports) unpublish(after, spec);
    draft_.change(before, std::move(after));
  }

  Delta take() const { return draft_.take(); }

 private:
  // Families in which the default route of the container's namespace is somebody else's: those that were found, and those in
  // which none of its endpoints has it although one could.
  std::set<Family> foreign_routes(const Container& container, std::set<Family> found) const {
    if (container.kind != ContainerKind::foreign_netns) return found;
    for (const auto family : {Family::v4, Family::v6}) {
      bool could = false;
      bool has = false;
      for (const auto& endpoint : container.endpoints) {
        const auto* held = endpoint.address(family);
        if (held == nullptr) continue;
        has = has || held->default_route;
        could = could || !draft_.network(endpoint.network).internal;
      }
      if (could && !has) found.insert(family);
    }
    return found;
  }

  // Those that it had itself, before it ended: their MAC may be another, for it comes from an address that is drawn anew.
  void note_kept(const Container& container) {
    for (const auto& endpoint : container.endpoints) {
      for (const auto& held : endpoint.addresses) {
        if (held.address) draft_.note_rested(container.id, *held.address);
      }
    }
  }

  void note_rested_fixed(const Id& container, const Endpoint& endpoint) {
    for (const auto& held : endpoint.addresses) {
      if (!held.address) continue;
      const auto resting = draft_.released(endpoint.network, held.family);
      if (std::find(resting.begin(), resting.end(), *held.address) != resting.end()) {
        draft_.note_rested(container, *held.address);
      }
    }
  }

  void settle_addresses(Container& container) {
    for (auto& endpoint : container.endpoints) {
      const auto network = draft_.network(endpoint.network);
      for (auto& held : endpoint.addresses) {
        if (held.address) continue;
        const auto found = allocate_address(network, held.family, draft_);
        held.address = found.address;
        if (found.rested) draft_.note_rested(container.id, found.address);
      }
    }
  }

  // Draws what a container needs to run: addresses and host ports.
  void settle(Container& container, std::uint64_t draw) {
    settle_addresses(container);
    container.ports.clear();
    settle_ports(container, draft_, facts_, draw);
  }

  // What was published once may be impossible today; that is no mistake in the words that start it.
  void settle_again(Container& container, std::uint64_t draw) try {
    settle(container, draw);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    throw Error(
        ErrorKind::failed, fmt::format("container '{}' cannot start: {}", container.name.str(), error.message()),
        "give the host the address again, or make the container anew with another --publish", error.error_number());
  }

  Container running(const std::string& name) const {
    auto container = draft_.container(name);
    if (!container.wants_network()) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is not running", container.name.str()),
                  fmt::format("start it with 'minibridge start {}'", container.name.str()));
    }
    return container;
  }

  Draft draft_;
  const HostFacts& facts_;
};

}  // namespace

Delta resolve(const std::vector<Change>& changes, const StateView& state, const HostFacts& facts) {
  Resolver resolver(state, facts);
  for (const auto& change : changes) std::visit(resolver, change);
  return resolver.take();
}

}  // namespace mb::plan
