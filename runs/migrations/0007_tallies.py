"""Tables for counters, which the migration after this one has filled; how far jobs have come that go over large tables."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0006_retention'),
    ]

    operations = [
        migrations.CreateModel(
            name='Sweep',
            fields=[
                ('name', models.CharField(max_length=63, primary_key=True, serialize=False)),
                ('after', models.PositiveBigIntegerField(default=0, help_text='the id it has come to; 0 where a round is at its end')),
                ('began_at', models.DateTimeField(help_text='when the last round began')),
            ],
        ),
        migrations.CreateModel(
            name='ArtifactTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('of', models.CharField(max_length=12)),
                ('namespace', models.CharField(max_length=63)),
                ('type', models.CharField(default='', max_length=128)),
                ('name', models.TextField(default='')),
                ('count', models.BigIntegerField()),
            ],
            options={
                'indexes': [models.Index(fields=['of', 'namespace'], name='artifact_tally_of')],
            },
        ),
        migrations.CreateModel(
            name='CacheTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('of', models.CharField(max_length=12)),
                ('namespace', models.CharField(max_length=63)),
                ('pipeline_name', models.CharField(default='', max_length=128)),
                ('count', models.BigIntegerField()),
                ('hits', models.BigIntegerField(default=0)),
                ('saved', models.FloatField(default=0)),
            ],
            options={
                'indexes': [models.Index(fields=['of', 'namespace'], name='cache_tally_of')],
            },
        ),
        migrations.CreateModel(
            name='RunTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('of', models.CharField(max_length=12)),
                ('namespace', models.CharField(max_length=63)),
                ('experiment_key', models.UUIDField(null=True)),
                ('pipeline_key', models.UUIDField(null=True)),
                ('created_by', models.CharField(default='', max_length=255)),
                ('state', models.CharField(default='', max_length=12)),
                ('storage_state', models.CharField(default='', max_length=16)),
                ('count', models.BigIntegerField()),
            ],
            options={
                'indexes': [models.Index(fields=['of', 'namespace'], name='run_tally_of')],
            },
        ),
    ]
