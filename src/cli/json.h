// SPDX-License-Identifier: GPL-2.0-or-later
//
// Everything that --format json prints, as text. docs/json.md describes the keys; keys are added, never changed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/cli/deed.h"
#include "src/lab/registry.h"
#include "src/model/host_report.h"
#include "src/model/objects.h"
#include "src/model/step.h"

namespace mb::cli {

struct ContainerView {
  Container container;
  std::string status;  // "running", "created" or "exited"
};

// Ports of one container as `port` shows them.
std::string json_of_ports(const std::vector<PublishedPort>& ports);
std::string json_of_containers(const std::vector<ContainerView>& containers, const std::vector<Network>& networks);
std::string json_of_networks(const std::vector<Network>& networks);
std::string json_of_plan(const Plan& plan, const NameOf& name_of, const std::vector<Deed>& before,
                         const std::vector<Deed>& after);
std::string json_of_error(const Error& error);

struct RuleView {
  TableKey table;
  std::string chain;
  Rule rule;
  std::string state;  // "present", "missing" or "unexpected"
};
std::string json_of_rules(const std::vector<RuleView>& rules);

std::string json_of_findings(const std::vector<Finding>& findings);

// The full descriptions that `inspect` prints, as one JSON object each.
std::string describe(const ContainerView& view, const std::vector<Network>& networks, const std::string& state_dir);
std::string describe(const Network& network, const std::vector<Container>& containers);
// "[a, b]", indented for reading.
std::string json_list(const std::vector<std::string>& objects);

std::string json_of_labs(const std::vector<lab::Lab>& labs);
std::string json_of_status(const std::string& name, int exit_status);
std::string json_of_version(const std::string& version);

}  // namespace mb::cli
