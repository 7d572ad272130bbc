//! Credentials, tickets, roles, tokens.

use crate::client::{World, percent};

async fn refused(world: &World, headers: &str) -> (u16, String) {
    let answer = world.call_as(headers, "GET", "/version", &[]).await.unwrap();
    assert_eq!(answer.text, "");
    (answer.status, answer.reason)
}

#[tokio::test]
async fn bad_credentials_are_401_without_a_body() {
    let world = World::quick().await;
    let no = (401, "Authentication failed!".to_owned());
    assert_eq!(refused(&world, "").await, (401, "No ticket".to_owned()));
    assert_eq!(refused(&world, "Authorization: PVEAPIToken=capi@pve!oxmox=wrong\r\n").await, no);
    assert_eq!(refused(&world, "Authorization: PVEAPIToken=nobody@pve!x=y\r\n").await, no);
    assert_eq!(refused(&world, "Cookie: PVEAuthCookie=PVE:root@pam:00000000::x\r\n").await, no);
}

#[tokio::test]
async fn a_login_gives_a_ticket_that_renews_itself_and_writes_need_the_csrf_token() {
    let world = World::quick().await;
    let wrong =
        world.call_as("", "POST", "/access/ticket", &[("username", "root@pam"), ("password", "no")]).await.unwrap();
    assert_eq!(wrong.refusal(), (401, "authentication failure".to_owned()));
    let password = world.sim.root_password().to_owned();
    let form = [("username", "root"), ("realm", "pam"), ("password", password.as_str())];
    let data = world.call_as("", "POST", "/access/ticket", &form).await.unwrap().data();
    let ticket = data["ticket"].as_str().unwrap();
    let again = [("username", "root@pam"), ("password", ticket)];
    assert_eq!(world.call_as("", "POST", "/access/ticket", &again).await.unwrap().data()["username"], "root@pam");
    let cookie = format!("Cookie: PVEAuthCookie={}\r\n", percent(ticket));
    let answer = world.call_as(&cookie, "POST", "/pools", &[("poolid", "x")]).await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (401, "Permission denied - invalid csrf token"));
    let whole = format!("{cookie}CSRFPreventionToken: {}\r\n", data["CSRFPreventionToken"].as_str().unwrap());
    assert_eq!(world.call_as(&whole, "POST", "/pools", &[("poolid", "x")]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_with_privilege_separation_has_what_user_and_token_both_have() {
    let world = World::quick().await;
    let root = world.root().await;
    let as_root = |method: &'static str, path: &'static str, form: Vec<(&'static str, &'static str)>| {
        let (world, root) = (&world, &root);
        async move { world.call_as(root, method, path, &form).await.unwrap().data() }
    };
    as_root("POST", "/access/users", vec![("userid", "a@pve")]).await;
    let token = as_root("POST", "/access/users/a@pve/token/t1", vec![]).await;
    let header = format!("Authorization: PVEAPIToken=a@pve!t1={}\r\n", token["value"].as_str().unwrap());
    let status = |header: String| {
        let world = &world;
        async move { world.call_as(&header, "GET", "/nodes/pve1/qemu/9000/config", &[]).await.unwrap().status }
    };
    as_root("PUT", "/access/acl", vec![("path", "/vms"), ("tokens", "a@pve!t1"), ("roles", "PVEAuditor")]).await;
    assert_eq!(status(header.clone()).await, 403, "the token alone");
    as_root("PUT", "/access/acl", vec![("path", "/vms/9000"), ("users", "a@pve"), ("roles", "PVEVMUser")]).await;
    assert_eq!(status(header.clone()).await, 200, "both");
    as_root("PUT", "/access/acl", vec![("path", "/vms/9000"), ("users", "a@pve"), ("roles", "NoAccess")]).await;
    assert_eq!(status(header).await, 403, "NoAccess beats the rest");
}

#[tokio::test]
async fn a_pool_grants_on_its_members_and_the_list_shows_only_them() {
    let world = World::quick().await;
    let root = world.root().await;
    for (method, path, form) in [
        ("POST", "/access/users", vec![("userid", "p@pve")]),
        ("PUT", "/access/acl", vec![("path", "/pool/kubernetes"), ("users", "p@pve"), ("roles", "PVEAdmin")]),
    ] {
        world.call_as(&root, method, path, &form).await.unwrap().data();
    }
    let token = world.call_as(&root, "POST", "/access/users/p@pve/token/t1", &[("privsep", "0")]).await.unwrap().data();
    let header = format!("Authorization: PVEAPIToken=p@pve!t1={}\r\n", token["value"].as_str().unwrap());
    let seen = world.call_as(&header, "GET", "/cluster/resources", &[("type", "vm")]).await.unwrap().data();
    assert_eq!(seen[0]["vmid"], 9000);
    let form = [("newid", "101")];
    let answer = world.call_as(&header, "POST", "/nodes/pve1/qemu/9000/clone", &form).await.unwrap();
    assert_eq!(answer.refusal(), (403, "Permission check failed".to_owned()));
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let answer = world.call_as(&header, "POST", "/nodes/pve1/qemu/9000/clone", &form).await.unwrap();
    assert_eq!(answer.refusal().0, 403, "the bridge needs SDN.Use");
    let form = [("path", "/sdn/zones/localnetwork"), ("users", "p@pve"), ("roles", "PVESDNUser")];
    world.call_as(&root, "PUT", "/access/acl", &form).await.unwrap().data();
    let form = [("newid", "101"), ("pool", "kubernetes")];
    world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    world.call_as(&header, "POST", "/nodes/pve1/qemu/9000/clone", &form).await.unwrap().data();
    // The pool comes last: until then its token must not see what is being made.
    let answer = world.call_as(&header, "GET", "/nodes/pve1/qemu/101/config", &[]).await.unwrap();
    assert_eq!(answer.refusal(), (403, "Permission check failed (/vms/101, VM.Audit)".to_owned()));
}
