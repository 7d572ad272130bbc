//! The story, inside the namespaces.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::outside::KEPT;
use super::say::{self, Stages};
use super::set::Set;
use super::stages::Story;
use super::{Run, plot, proxmox, worlds};

/// Tells it, and says how it ended.
pub(super) async fn tell(run: Run, image: PathBuf) -> Result<ExitCode> {
    let plot = plot::scenes(run.step, run.stays(), run.breaks()).collect();
    let mut stages = Stages::new(plot, run.dir.join("story.json"));
    let mut set = Set::set_up(&run.dir, &image, run.cni, &mut stages).await?;
    let told = tokio::select! {
        told = all(&run, &mut set, &mut stages) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    stages.end(&told.as_ref().err().map_or_else(|| "done".to_owned(), |why| daemon::chain(why.as_ref())));
    if let Err(why) = &told {
        say::line(&format!("\nthe demo failed: {}", daemon::chain(why.as_ref())));
        say::line(&format!("logs are in {}", run.dir.display()));
        if let Err(ended) = set.must_run() {
            say::line(&daemon::chain(ended.as_ref()));
        }
    }
    let verdict = told?;
    if run.stays() {
        rest(&run, &set)?;
        std::future::pending::<()>().await;
    }
    set.stop().await?;
    say::line(&format!("\ndone in {:.0} s; nothing is left", stages.seconds()));
    say::line(&format!("reports: {}", run.dir.join("reports/report.html").display()));
    Ok(ExitCode::from(verdict))
}

async fn all(run: &Run, set: &mut Set, stages: &mut Stages) -> Result<u8> {
    let administrator = proxmox::administrator(&set.sim)?;
    let before = proxmox::inventory(&administrator).await?;
    let mut story = Story::new(set, stages);
    let last = run.step.unwrap_or(8);
    let (mut opened, mut sums) = (None, None);
    if last >= 3 {
        let workload = story.quickstart().await?;
        story.nodes(&workload).await?;
        story.pods(&workload).await?;
        if last >= 4 {
            story.scale(&workload).await?;
            story.repair(&workload).await?;
        }
        if last >= 5 {
            sums = Some(story.volumes(&workload, &administrator).run().await?);
        }
        if last >= 6 {
            story.policy_engine(&workload).await?;
            story.tenant_policies(&workload).await?;
        }
        if last >= 7 {
            story.monitoring(&workload).await?;
        }
        opened = Some(workload);
    }
    let verdict = story.verify(last).await?;
    if run.breaks() {
        let asked = (&run.broken, run.seed);
        let lab = (opened.as_ref(), &administrator);
        Box::pin(worlds::run(story.set, story.stages, lab, last.min(7), asked)).await?;
    }
    if let (8, Some(workload), Some(sums)) = (last, &opened, &sums) {
        story.node_lost_with_ha(workload).await?;
        story.data(workload, &administrator, sums).await?;
        story.node_lost(workload, &administrator, sums).await?;
        story.data(workload, &administrator, sums).await?;
    }
    if run.stays() {
        return Ok(verdict);
    }
    if let Some(workload) = &opened {
        story.volumes(workload, &administrator).removed().await?;
    }
    story.delete().await?;
    story.nothing_left(&administrator, &before).await?;
    Ok(verdict.max(story.report().await?))
}

/// Leaves everything running and says how to look at it.
fn rest(run: &Run, set: &Set) -> Result<()> {
    let program = std::env::current_exe()?;
    let program = program.display();
    let shell = format!("{program} demo --dir {} shell", run.dir.display());
    say::line("\neverything is left running. Look around:");
    say::line(&format!("  {shell}"));
    say::line(&format!("  {shell} kubectl get nodes -o wide"));
    say::line(&format!("  {shell} sh -c 'kubectl --kubeconfig $MANAGEMENT get machines,proxmoxmachines'"));
    say::line(&format!(
        "  curl --cacert {} -H 'Authorization: PVEAPIToken={}={}' https://localhost:8006/api2/json/cluster/resources",
        set.sim.ca_file.display(),
        super::set::TOKEN,
        set.sim.secret
    ));
    say::line(&format!("  xdg-open {}", run.dir.join("reports/report.html").display()));
    say::line("end it:");
    say::line(&format!("  {program} demo --dir {} clean", run.dir.display()));
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", set.tools.display());
    let kept = json!({
        "KUBECONFIG": run.dir.join("workload.kubeconfig"),
        "MANAGEMENT": set.plane.admin_kubeconfig(),
        "KUBECACHEDIR": run.dir.join("kubectl-cache"),
        "PATH": path,
        "PROXMOX_URL": set.sim.url,
        "PROXMOX_TOKEN": super::set::TOKEN,
        "PROXMOX_SECRET": set.sim.secret,
        "PROXMOX_ROOT_CA_FILE": set.sim.ca_file,
    });
    std::fs::write(run.dir.join(KEPT), kept.to_string()).context("write how to come back")
}
