import subprocess

from tests.lab.quotas import inside, quota


def test_what_runs_inside_is_in_the_group_which_is_gone_afterwards() -> None:
    with quota(0.5) as group:
        script = 'read pid rest < "$0"; test "$pid" = $$'
        subprocess.run(inside(group, ["sh", "-c", script, group.processes]), check=True)
        quotas = [group.folder / name for name in ("cpu.cfs_quota_us", "cpu.max")]
        assert next(path for path in quotas if path.exists()).read_text().split()[0] == "50000"
    assert not group.folder.exists()
