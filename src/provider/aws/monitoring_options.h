// SPDX-License-Identifier: Apache-2.0
//
// How a SageMaker endpoint is watched for drift of what it is asked.
#pragma once

#include <string>

namespace redoubt::provider::aws {

enum class MonitoringMode {
  off,
  processing,     // our own image in processing jobs, which EventBridge Scheduler starts
  model_monitor,  // SageMaker's monitoring schedules, in accounts that have Model Monitor
};

// An analysis beside that of the prompts, by AWS's analyzer or Clarify. Model Monitor alone has them.
struct AnalysisOptions {
  std::string image = {};  // of the analyzer; empty: this one is not wanted
  std::string config_uri = {};        // Clarify's analysis_config.json: bias and explainability
  std::string ground_truth_uri = {};  // model quality and bias
  std::string constraints_uri = {};   // a baseline's constraints.json; empty: none
  std::string problem_type = {};      // model quality: BinaryClassification, MulticlassClassification, Regression
  std::string features_attribute = {}, inference_attribute = {}, probability_attribute = {};
  std::string start_time_offset = {}, end_time_offset = {};  // "-PT2H"
};

struct MonitoringOptions {
  MonitoringMode mode = MonitoringMode::off;
  std::string role_arn = {};            // of the jobs; empty: the endpoint's
  std::string scheduler_role_arn = {};  // with which the scheduler starts them; empty: nobody does but 'redoubt monitor run'
  int schedule_minutes = 60;
  std::string instance_type = "ml.m5.large";
  int volume_gib = 30;  // a run in the mode `processing` reads all captures that are kept
  int run_s_max = 1800;
  std::string metric_namespace = "Redoubt";
  AnalysisOptions model_quality = {}, bias = {}, explainability = {};
};

}  // namespace redoubt::provider::aws
